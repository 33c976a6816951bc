"""Ensembles of runs predict raw tables, in Python and by the commands, however their members prepare them."""

from __future__ import annotations

import csv
import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main

KINDS = {
    "classes": "{path: t.csv, target: kind, columns: {price: ignore, rare: ignore}}",
    "numbers": "{path: t.csv, target: price, columns: {kind: ignore, rare: ignore}}",
    "gaussian": "{path: t.csv, target: price, columns: {kind: ignore, rare: ignore}}",
    "logs": "{path: t.csv, target: price, target_transform: log, columns: {kind: ignore, rare: ignore}}",
    "labels": "{path: t.csv, target: [rare, wide], task: labels, columns: {kind: ignore, price: ignore}}",
}
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """Runs of each kind with other seeds, so with other training rows."""
    path: Path = tmp_path_factory.mktemp("ensembles")
    random = np.random.default_rng(0)
    lines = ["size,colour,price,kind,rare,wide"]
    for i, size in enumerate(random.normal(50.0, 20.0, 150)):
        price = max(3 * size + 10 * (i % 3) + random.normal(), 1.0)
        kind = "high" if size + random.normal() * 5 > 50 else "low"
        lines.append(f"{size:.3f},{'rgb'[i % 3]},{price:.2f},{kind},{int(size > 60)},{int(i % 3 == 1)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        Path("t.csv").write_text("\n".join(lines) + "\n")
        for kind, data in KINDS.items():
            loss = ", loss: gaussian_nll" if kind == "gaussian" else ""
            more = f"trainer: {{epochs: 4, optimizer: {{name: adam, lr: 0.05}}{loss}}}"
            Path("c.yaml").write_text(f"data: {data}\nnetwork: {{hidden: [6]}}\n{more}\n")
            for seed in SEEDS:
                assert main(["train", "c.yaml", "--set", f"seed={seed}", "--run-dir", f"{kind}{seed}", "-q"]) == 0
    return path


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def runs(kind: str) -> list[str]:
    return [f"{kind}{seed}" for seed in SEEDS]


def columns(text: str) -> dict[str, list[str]]:
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_classes_are_those_of_the_mean_probabilities() -> None:
    found = fb.Ensemble(runs("classes"), weights=[1, 2, 1])
    assert not found.alike
    mean = np.average([fb.load(run).probabilities("t.csv") for run in runs("classes")], axis=0, weights=[1, 2, 1])
    said = found.predict("t.csv", probabilities=True)
    assert np.allclose(found.probabilities("t.csv"), mean, atol=1e-6)
    assert np.array_equal(np.stack([said["kind = high"], said["kind = low"]], 1), found.probabilities("t.csv"))
    assert said["kind"].tolist() == np.array(["high", "low"])[mean.argmax(axis=1)].tolist()
    assert said["kind = high"].dtype == np.float32
    assert found.spread("t.csv").shape == (150, 2)
    assert found.predict_members("t.csv").shape == (3, 150, 2)


def test_labels_are_those_of_the_mean_probabilities() -> None:
    mean = np.mean([fb.load(run).probabilities("t.csv") for run in runs("labels")], axis=0)
    said = fb.Ensemble(runs("labels")).predict("t.csv", probabilities=True)
    for i, name in enumerate(("rare", "wide")):
        assert np.allclose(said[f"{name} probability"], mean[:, i], atol=1e-6)
        assert said[name].tolist() == (mean[:, i] > 0.5).astype(int).tolist()


def test_numbers_are_averaged_in_the_units_of_the_table_whatever_the_scale_of_each() -> None:
    nets = [fb.load(run) for run in runs("numbers")]
    assert len({net.recipe.outputs.center[0] for net in nets}) == 3
    found = fb.Ensemble(nets, weights=[1, 1, 3]).predict("t.csv")["price"]
    each = [net.predict("t.csv")["price"] for net in nets]
    assert np.allclose(found, np.average(each, axis=0, weights=[1, 1, 3]), rtol=1e-5)


def test_numbers_with_a_transform_are_averaged_on_its_scale() -> None:
    each = [fb.load(run).predict("t.csv")["price"] for run in runs("logs")]
    found = fb.Ensemble(runs("logs")).predict("t.csv")["price"]
    assert np.allclose(found, np.exp(np.mean(np.log(each), axis=0)), rtol=1e-5)


def test_deviations_are_those_of_the_mixture() -> None:
    each = [fb.load(run).predict("t.csv") for run in runs("gaussian")]
    said = fb.Ensemble(runs("gaussian")).predict("t.csv")
    means, deviations = (np.array([one[name] for one in each], float) for name in ("price", "price deviation"))
    assert np.allclose(said["price"], means.mean(axis=0), rtol=1e-5)
    mixture = np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0))
    assert np.allclose(said["price deviation"], mixture, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_it_says_the_same_bits(kind: str, tmp_path: Path) -> None:
    found = fb.Ensemble(runs(kind), [3, 1, 1])
    found.save(tmp_path / "e.safetensors")
    must = found.predict("t.csv", probabilities=kind in ("classes", "labels"))
    for other in (fb.load(tmp_path / "e.safetensors"), pickle.loads(pickle.dumps(found))):
        said = other.predict("t.csv", probabilities=kind in ("classes", "labels"))
        assert {name: column.tolist() for name, column in said.items()} == {
            name: column.tolist() for name, column in must.items()
        }


def test_members_that_prepare_alike_predict_arrays_too_and_are_stored_with_one_recipe(tmp_path: Path) -> None:
    from safetensors import safe_open

    found = fb.Ensemble([fb.load("classes1/best.safetensors"), fb.load("classes1/last.safetensors")])
    assert found.alike
    X = np.random.default_rng(0).normal(size=(5, found.inputs)).astype(np.float32)
    z = [net.predict(X).astype(float) for net in found.members]
    p = np.mean([np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in z], axis=0)
    assert np.allclose(found.predict(X), p, atol=1e-6)
    found.save(tmp_path / "alike")
    fb.Ensemble(runs("classes")).save(tmp_path / "other")
    for name, count in (("alike", 1), ("other", 3)):
        with safe_open(tmp_path / name, "np") as file:
            assert file.metadata()["shared"].count('"recipe"') == count


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_greedy_takes_rows_and_targets_of_a_table(kind: str) -> None:
    metric = {"classes": "accuracy", "numbers": "rmse"}[kind]
    table = columns(Path("t.csv").read_text())
    found = fb.Ensemble.greedy(runs(kind), "t.csv", metric=metric)
    alone = []
    for run in runs(kind):
        said = next(iter(fb.load(run).predict("t.csv").values()))
        if kind == "classes":
            alone.append(float((said == np.array(table["kind"])).mean()))
        else:
            alone.append(fb.metrics.rmse([float(x) for x in table["price"]], said))
    best = int(np.argmax(alone) if kind == "classes" else np.argmin(alone))
    assert found.chosen[0] == best
    assert found.scores[0] == pytest.approx(alone[best], rel=1e-5)
    assert found.evaluate("t.csv", metric=metric) == pytest.approx(found.scores[-1], rel=1e-5)


def test_a_copy_of_a_network_predicts_tables_itself() -> None:
    net = fb.load("numbers1")
    before = net.predict("t.csv")["price"].tolist()
    member = fb.Ensemble([net]).members[0]
    net.flat = np.zeros_like(net.flat)
    assert member.predict("t.csv")["price"].tolist() == before != net.predict("t.csv")["price"].tolist()


# The commands


def told(capsys: Any, *words: str) -> str:
    capsys.readouterr()
    assert main([*words]) == 0
    return str(capsys.readouterr().out)


def saved(kind: str, path: Path) -> tuple[str, Any]:
    found = fb.Ensemble(runs(kind), [1, 2, 1])
    found.save(path / f"{kind}.safetensors")
    return str(path / f"{kind}.safetensors"), found


@pytest.mark.parametrize("kind", KINDS)
def test_predict_and_evaluate_take_it(kind: str, tmp_path: Path, capsys: Any) -> None:
    path, found = saved(kind, tmp_path)
    more = ["--probabilities"] if kind in ("classes", "labels") else []
    said = columns(told(capsys, "predict", path, "t.csv", *more))
    must = found.predict("t.csv", probabilities=bool(more))
    assert list(said) == list(must)
    assert all(
        said[name] == [str(x) for x in column.tolist()] or _near(said[name], column) for name, column in must.items()
    )
    scores = json.loads(told(capsys, "evaluate", path, "t.csv", "--json"))["metrics"]["files"]
    assert scores["loss"] == pytest.approx(found.evaluate("t.csv"), rel=1e-6)
    for name, score in scores.items():
        assert score == pytest.approx(found.evaluate("t.csv", metric=name), rel=1e-6)


def _near(texts: list[str], column: Any) -> bool:
    return np.array(texts, float).astype(column.dtype).tolist() == column.tolist()


def test_a_table_may_come_from_a_pipe(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved("classes", tmp_path)
    must = told(capsys, "predict", path, "t.csv")

    class Pipe(io.StringIO):
        buffer = io.BytesIO(Path("t.csv").read_bytes())

    monkeypatch.setattr(sys, "stdin", Pipe())
    assert told(capsys, "predict", path, "-") == must


def test_keep_repeats_the_table(tmp_path: Path, capsys: Any) -> None:
    path, _ = saved("numbers", tmp_path)
    said = columns(told(capsys, "predict", path, "t.csv", "--keep"))
    assert said["size"] == columns(Path("t.csv").read_text())["size"]


@pytest.mark.parametrize(("kind", "metric"), [("classes", "log_loss"), ("numbers", "rmse"), ("labels", "loss")])
def test_explain_shuffles_columns_of_the_table_for_all_members(
    kind: str, metric: str, tmp_path: Path, capsys: Any
) -> None:
    from fastbp.train.explain import shuffle

    path, found = saved(kind, tmp_path)
    said = json.loads(told(capsys, "explain", path, "t.csv", "-m", metric, "--repeats", "2", "--json"))
    assert (said["part"], said["rows"], said["of"]) == ("files", 150, 150)
    in_python = fb.importance(found, "t.csv", metric=metric, repeats=2)
    assert {column["column"]: column["drops"] for column in said["columns"]} == dict(
        zip(in_python.columns, in_python.drops.tolist(), strict=True)
    )
    assert in_python.score == pytest.approx(found.evaluate("t.csv", metric=metric), rel=1e-6)
    table = columns(Path("t.csv").read_text())
    for c, name in enumerate(in_python.columns):
        mixed = {**table, name: [table[name][at] for at in shuffle(150, 0, c, 1)]}
        drop = found.evaluate(mixed, metric=metric) - in_python.score
        assert in_python.drops[c, 1] == pytest.approx(drop, rel=1e-6, abs=1e-9)
    assert told(capsys, "explain", path, "t.csv").splitlines()[2].split() == ["column", "importance"]


@pytest.mark.parametrize("kind", ["classes", "numbers", "gaussian", "logs", "labels"])
def test_dependence_is_the_mean_of_what_is_predicted_for_tables_with_one_value(
    kind: str, tmp_path: Path, capsys: Any
) -> None:
    path, found = saved(kind, tmp_path)
    names = {"classes": ["kind = high", "kind = low"], "labels": ["rare probability", "wide probability"]}
    said = json.loads(told(capsys, "explain", path, "t.csv", "-d", "colour", "-d", "size", "--points", "5", "--json"))
    for one in said["dependence"]:
        for value, mean, low, high in zip(one["values"], one["mean"], one["low"], one["high"], strict=True):
            table = {**columns(Path("t.csv").read_text()), one["column"]: [str(value)] * 150}
            predicted = found.predict(table, probabilities=kind in ("classes", "labels"))
            for k, name in enumerate(names.get(kind, ["price"])):
                assert mean[k] == pytest.approx(np.mean(predicted[name]), rel=1e-5, abs=1e-6)
                band = np.quantile(predicted[name], [0.1, 0.9])
                assert [low[k], high[k]] == pytest.approx(band, rel=1e-4, abs=1e-5)


def test_show_lists_members(tmp_path: Path, capsys: Any) -> None:
    path, found = saved("classes", tmp_path)
    lines = told(capsys, "show", path).splitlines()
    assert lines[0].split() == ["member", "weight", "layers", "parameters"]
    assert lines[2].split() == ["1", "2", "Linear", "ReLU", "Linear", "50"]
    assert lines[-1].split() == ["total", "150"]
    chosen = fb.Ensemble.of(found.members, found.weights, found.loss, [(4, 9), (0, 7), (4, 2)], [1.0, 0.5, 0.4], "loss")
    chosen.save(path)
    lines = told(capsys, "show", path).splitlines()
    assert lines[0].split() == ["member", "weight", "of", "epoch", "layers", "parameters"]
    assert lines[1].split()[:4] == ["0", "1", "4", "9"]
    assert json.loads(told(capsys, "show", path, "--json"))["members"][2]["chosen"] == [4, 2]


# Mistakes


def test_arrays_are_refused_where_members_prepare_them_in_different_ways() -> None:
    must = r"^`X` must be a raw table, as the members prepare their inputs in different ways, got `ndarray`$"
    with pytest.raises(fb.DataError, match=must):
        fb.Ensemble(runs("classes")).predict(np.zeros((2, 4)))


def test_other_targets_are_refused() -> None:
    must = r"^`models\[1\]` must have the targets of `models\[0\]`, `\['price'\]`, got `\['size'\]`$"
    other = fb.load("numbers2")
    other.about["recipe"]["outputs"]["columns"] = ["size"]
    with pytest.raises(fb.ConfigError, match=must):
        fb.Ensemble([fb.load("numbers1"), other])
    other = fb.load("classes2")
    other.about["recipe"]["outputs"]["names"] = ["low", "high"]
    must = r"^`models\[1\]` must have the classes of `models\[0\]`, `\['high', 'low'\]`, got `\['low', 'high'\]`$"
    with pytest.raises(fb.ConfigError, match=must):
        fb.Ensemble([fb.load("classes1"), other])
    must = r"^`models\[1\]` must have the transforms of `models\[0\]`"
    with pytest.raises(fb.ConfigError, match=must):
        fb.Ensemble([fb.load("numbers1"), fb.load("logs1")])


def test_networks_without_preprocessing_do_not_go_with_others() -> None:
    first = fb.load("classes1")
    bare = fb.mlp([first.inputs, 2])
    must = r"^`models\[1\]` must prepare raw tables as `models\[0\]` does, but is a network only$"
    with pytest.raises(fb.ConfigError, match=must):
        fb.Ensemble([first, bare], loss="cross_entropy")
    must = r"^`models\[1\]` must be a network only as `models\[0\]` is$"
    with pytest.raises(fb.ConfigError, match=must):
        fb.Ensemble([bare, first], loss="cross_entropy")


def test_commands_for_one_network_refuse_it(tmp_path: Path, capsys: Any) -> None:
    fb.Ensemble([fb.mlp([2, 1])], loss="mse").save(tmp_path / "bare")
    assert main(["predict", str(tmp_path / "bare"), "t.csv"]) == 2
    assert "must hold a recipe that turns tables into inputs, but has a network only" in capsys.readouterr().err
