"""Runs of configurations with `pack`: what they train, their folder, and what commands make of it."""

import csv
import gc
import json
import os
import signal
import weakref

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.pack import configuration
from fastbp.config.text import as_yaml, read
from fastbp.errors import DivergedError
from fastbp.numerics.draws import bootstrap
from fastbp.runs.checkpoint import Checkpoint
from fastbp.runs.entrants import subjects_of
from fastbp.runs.online import RunOnline
from fastbp.runs.pack_checkpoint import PackCheckpoint
from fastbp.runs.pack_training import PackTraining
from fastbp.train.time_limits import begun, in_turn

NUMBERS = """
name: numbers
data: {source: friedman, rows: 500, noise: 1.0}
network: {hidden: [12], dropout: 0.1, embed_numbers: {name: piecewise_linear, bins: 4}}
trainer: {epochs: 6, monitor: val_r2, ema: 0.9, reduce_lr: {patience: 1}, early_stopping: {patience: 3}}
pack:
  members: 2
  folds: 3
  space:
    trainer.optimizer: [adam, {name: sgd, momentum: 0.9}]
    trainer.optimizer.lr: {log: [0.01, 0.1]}
    network.norm: [null, batch_norm]
    trainer.accumulate: [1, 2]
"""
DIGITS = """
name: digits
data: {source: digits, scale: none}
network: {hidden: [16]}
trainer: {epochs: 5, schedule: cosine, optimizer: {name: adamw, lr: 0.005}}
pack:
  members: 4
  space:
    trainer.batch_size: [16, 64]
    network.hidden: {width: [8, 24], depth: [1, 2]}
    network.dropout: {uniform: [0, 0.3]}
"""
TABLE = """
name: table
data: {path: t.csv, target: y, split: {test: 0.2}}
network: {hidden: [8]}
trainer:
  epochs: 4
  class_weight: balanced
  metrics: [accuracy, roc_auc]
  monitor: val_roc_auc
  optimizer: {name: adam, lr: 0.02}
pack: {members: 3, folds: 2, space: {trainer.optimizer.weight_decay: [0, 0.1], network.norm: [null, layer_norm]}}
"""
CONFIGS = {"numbers": NUMBERS, "digits": DIGITS, "table": TABLE}
FILES = {
    *("config.yaml", "environment.json", "metrics.jsonl", "history.csv", "checkpoint.safetensors", "result.json"),
    *("members.safetensors", "ensemble.safetensors", "best.safetensors"),
}
PICTURES = {"confusion.svg", "calibration.svg", "confusion.csv", "calibration.csv"}


def write(folder):
    """The configurations, and a table with a column of many categories, which is kept as codes."""
    rng = np.random.default_rng(0)
    lines = ["x,c,w,y"]
    for i in range(1000):
        c = int(rng.integers(30))
        lines.append(f"{rng.normal():.4f},c{c},{rng.normal():.3f},{'yes' if c % 3 == 0 or i % 7 == 0 else 'no'}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    for name, text in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run of each configuration."""
    folder = tmp_path_factory.mktemp("runs")
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in CONFIGS:
            assert main(["train", f"{name}.yaml", "-q", "--run-dir", name]) == 0
    return folder


@pytest.fixture
def there(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def entrants(plan):
    folds = plan.config.pack.folds
    return [(m, f) for m in range(plan.config.pack.members) for f in (range(folds) if folds else [None])]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_network_is_the_one_that_its_configuration_trains_alone(name, there, tmp_path):
    plan = plan_of(read(f"{name}.yaml"))
    whole = PackCheckpoint.load(there / name / "checkpoint.safetensors")
    members = fb.load(there / name / "members.safetensors").members
    chosen = entrants(plan)
    assert len(whole.networks) == len(members) == len(chosen)
    for i, (member, fold) in list(enumerate(chosen))[:: 2 if name != "numbers" else 1]:
        (tmp_path / "one.yaml").write_text(as_yaml(configuration(plan, member, fold)))
        folder = tmp_path / f"one{i}"
        assert main(["train", str(tmp_path / "one.yaml"), "-q", "--run-dir", str(folder)]) == 0
        alone, found = Checkpoint.load(folder / "checkpoint.safetensors"), whole.networks[i]
        assert alone.arrays.keys() == found.arrays.keys()
        for key, array in alone.arrays.items():
            assert array.tobytes() == found.arrays[key].tobytes(), (i, key)
        for what in ("numbers", "callbacks", "best"):
            assert getattr(alone, what) == getattr(found, what)
        for what in ("loss", "val_loss", "metrics", "lr", "steps", "samples", "stopped"):
            assert getattr(alone.history, what) == getattr(found.history, what)
        best = fb.load(folder)
        assert best.flat.tobytes() == members[i].flat.tobytes()
        assert best.states.flat().tobytes() == members[i].states.flat().tobytes()
        scores = result_of(there / name)["members"][member]["metrics"]
        if fold is None:
            assert {part: pytest.approx(own) for part, own in result_of(folder)["metrics"].items()} == scores


@pytest.mark.parametrize(
    ("name", "more"),
    [("numbers", {"out_of_fold.csv"}), ("digits", PICTURES), ("table", {"out_of_fold.csv"} | PICTURES)],
)
def test_a_run_leaves_everything_in_its_folder(name, more, there):
    assert {path.name for path in (there / name).iterdir()} == FILES | more


def test_epochs_are_lines_with_their_member_and_fold(there):
    rows = [json.loads(line) for line in (there / "numbers" / "metrics.jsonl").read_text().splitlines()]
    assert list(rows[0]) == ["member", "fold", "epoch", "loss", "val_loss", "val_r2", "val_rmse", "lr"]
    assert [(row["member"], row["fold"], row["epoch"]) for row in rows] == sorted(
        (row["member"], row["fold"], row["epoch"]) for row in rows
    )
    found = PackCheckpoint.load(there / "numbers" / "checkpoint.safetensors").networks
    own = [row["val_r2"] for row in rows if (row["member"], row["fold"]) == (1, 2)]
    assert own == found[5].history.metrics["val_r2"]
    with (there / "numbers" / "history.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items()} for row in table] == rows


@pytest.mark.parametrize("name", CONFIGS)
def test_ensembles_are_the_best_all_and_the_greedy_choice(name, there):
    result, plan = result_of(there / name), plan_of(read(f"{name}.yaml"))
    folds, count = plan.config.pack.folds or 1, plan.config.pack.members
    measure, sign = {"numbers": ("r2", -1), "digits": ("loss", 1), "table": ("roc_auc", -1)}[name]
    worth = {one["member"]: sign * one["metrics"]["validation"][measure] for one in result["members"]}
    assert result["order"] == sorted(worth, key=worth.get)
    ensembles = result["ensembles"]
    assert ensembles["best"]["members"] == {str(result["order"][0]): 1}
    assert ensembles["best"]["metrics"] == result["members"][result["order"][0]]["metrics"]
    assert ensembles["uniform"]["members"] == {str(member): 1 for member in range(count)}
    values = [sign * ensembles[which]["metrics"]["validation"][measure] for which in ("greedy", "best")]
    assert values[0] <= values[1]
    chosen = ensembles["greedy"]["members"]
    for file, wanted in (("ensemble", chosen), ("members", ensembles["uniform"]["members"])):
        found = fb.load(there / name / f"{file}.safetensors")
        assert found.weights.tolist() == [weight for weight in wanted.values() for _ in range(folds)]
    loaded = fb.load(there / name)
    assert isinstance(loaded, fb.Ensemble)
    assert len(loaded) == len(chosen) * folds


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "balanced_accuracy"])
def test_the_greedy_choice_is_by_the_monitored_measure(metric, there, tmp_path, capsys):
    sets = ["--set", f"trainer.metrics=[{metric}]", "--set", f"trainer.monitor=val_{metric}"]
    assert main(["train", "digits.yaml", "--json", "-q", "--run-dir", str(tmp_path / "d"), *sets]) == 0
    found = json.loads(capsys.readouterr().out)["ensembles"]
    scores = {name: found[name]["metrics"]["validation"][metric] for name in ("best", "greedy")}
    assert scores["greedy"] <= scores["best"] if metric == "log_loss" else scores["greedy"] >= scores["best"]
    X, y = fb.data.digits("validation")
    models = [fb.load(tmp_path / "d" / "members.safetensors")]
    chosen = fb.Ensemble.greedy(models, X, y, metric, size=50)
    assert chosen.scores[-1] == pytest.approx(scores["greedy"], rel=1e-6)


def test_the_greedy_choice_is_that_of_the_library(there):
    X, y = fb.data.digits("validation")
    members = fb.load(there / "digits" / "members.safetensors")
    found = fb.Ensemble.greedy(members, X, y, metric="loss", size=50)
    chosen = result_of(there / "digits")["ensembles"]["greedy"]["members"]
    assert {str(i): found.chosen.count(i) for i in dict.fromkeys(found.chosen)} == chosen


def test_what_is_said_of_a_row_out_of_fold_is_of_the_networks_that_did_not_see_it(there):
    plan = plan_of(read("table.yaml"))
    members, chosen = fb.load("table/members.safetensors").members, result_of(there / "table")["ensembles"]["greedy"]
    with open("table/out_of_fold.csv") as file:
        rows = {int(row["row"]): row for row in csv.DictReader(file)}
    with open("t.csv") as file:
        table = list(csv.DictReader(file))
    assert len(rows) == 800
    assert list(rows) == sorted(rows)
    for fold, subject in enumerate(subjects_of(plan)):
        part = subject.parts["validation"]
        assert {row for row, one in rows.items() if one["fold"] == str(fold)} == set(part.rows.tolist())
        said, total = 0.0, sum(chosen["members"].values())
        for member, weight in chosen["members"].items():
            net = members[2 * int(member) + fold]
            said = said + weight / total * p(net, part.X)
        for at, row in enumerate(part.rows.tolist()):
            assert rows[row]["y"] == table[row]["y"]
            assert float(rows[row]["predicted y = yes"]) == pytest.approx(said[at, 1], rel=1e-6)
            assert rows[row]["predicted y"] == ("yes" if said[at, 1] > 0.5 else "no")


def p(net, X):
    return net.probabilities(X).astype(np.float64)


def test_numbers_out_of_fold_are_in_the_units_of_the_table(there):
    with open("numbers/out_of_fold.csv") as file:
        rows = list(csv.DictReader(file))
    true, said = (np.array([float(row[key]) for row in rows]) for key in ("target", "predicted target"))
    r2 = 1.0 - ((true - said) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    wanted = result_of(there / "numbers")["ensembles"]["greedy"]["metrics"]["validation"]
    assert r2 == pytest.approx(wanted["r2"], rel=1e-5)
    assert np.sqrt(((true - said) ** 2).mean()) == pytest.approx(wanted["rmse"], rel=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_evaluate_says_what_the_result_says(name, there, capsys):
    assert main(["evaluate", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = result_of(there / name)["ensembles"]["greedy"]["metrics"]
    assert set(found["metrics"]) == ({"test"} if name != "digits" else {"train", "validation", "test"})
    for part, scores in found["metrics"].items():
        assert scores == pytest.approx(wanted[part], rel=1e-6)


def test_predict_takes_the_folder(there, capsys):
    assert main(["predict", "table", "t.csv", "--probabilities"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    found = fb.load("table").predict("t.csv", probabilities=True)
    assert [row["y"] for row in rows] == found["y"].tolist()
    assert [float(row["y = yes"]) for row in rows] == pytest.approx(found["y = yes"].tolist())


def test_show_lists_members_and_ensembles(there, capsys):
    assert main(["show", "digits"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == [
        *("member", "validation", "loss", "validation", "accuracy", "test", "loss", "test", "accuracy"),
        *("best", "epoch", "batch_size", "hidden", "dropout"),
    ]
    assert [int(line.split()[0]) for line in lines[1:5]] == result_of(there / "digits")["order"]
    assert [line.split()[0] for line in lines[7:11]] == ["member", "uniform", "greedy", "baseline"]
    assert main(["show", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["result"] == result_of(there / "digits")
    assert len(found["epochs"]) == 20


def test_the_resolved_configuration_runs_again_to_the_same_bits(there, tmp_path):
    assert main(["train", "numbers/config.yaml", "-q", "--run-dir", str(tmp_path / "again")]) == 0
    for name in ("members", "ensemble", "best"):
        first, second = (
            load_file(folder / f"{name}.safetensors") for folder in (there / "numbers", tmp_path / "again")
        )
        assert {key: array.tobytes() for key, array in first.items()} == {
            key: array.tobytes() for key, array in second.items()
        }


@pytest.mark.parametrize("share", ["true", "0.3"])
def test_bootstrap_trains_on_rows_that_are_drawn(share, there, tmp_path):
    config = DIGITS[: DIGITS.index("pack:")] + f"pack: {{members: 2, bootstrap: {share}}}"
    (tmp_path / "b.yaml").write_text(config)
    assert main(["train", str(tmp_path / "b.yaml"), "-q", "--run-dir", str(tmp_path / "b")]) == 0
    X, y = fb.data.digits("train")
    count = round(len(X) * (1.0 if share == "true" else float(share)))
    found = PackCheckpoint.load(tmp_path / "b" / "checkpoint.safetensors").networks
    for member in range(2):
        rows = bootstrap(len(X), count, 0, member, 0)
        trainer = fb.Trainer(fb.mlp([64, 16, 10], seed=member), optimizer=fb.AdamW(0.005), schedule="cosine")
        trainer.fit(X[rows], y[rows], epochs=5, validation=fb.data.digits("validation"))
        for name, array in trainer.net.parameters.items():
            assert array.tobytes() == found[member].arrays[f"parameters/{name}"].tobytes()


def test_without_validation_rows_there_is_no_greedy_choice(there, tmp_path, capsys):
    sets = ["--set", "data.split={validation: 0.0, test: 0.2}", "--set", "trainer.epochs=2"]
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(tmp_path / "n"), *sets]) == 0
    result = result_of(tmp_path / "n")
    assert list(result["ensembles"]) == ["best", "uniform"]
    assert result["ensemble"] == "uniform"
    losses = {one["member"]: one["metrics"]["train"]["loss"] for one in result["members"]}
    assert result["order"] == sorted(losses, key=losses.get)
    assert len(fb.load(tmp_path / "n")) == 4


def test_a_member_that_diverges_is_named_and_left_out(there, tmp_path, capsys):
    sets = ["--set", "trainer.optimizer=sgd", "--set", "pack.space={trainer.optimizer.lr: [0.01, 1e30]}"]
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(tmp_path / "d"), *sets, "--set", "pack.members=6"]) == 0
    said = capsys.readouterr()
    result = result_of(tmp_path / "d")
    lost = [one["member"] for one in result["members"] if one["settings"]["trainer.optimizer.lr"] > 1]
    assert 0 < len(lost) < 6
    assert [one["member"] for one in result["members"] if one["metrics"] is None] == lost
    assert sorted([*result["order"], *lost]) == list(range(6))
    assert [line.partition(" stopped: ")[0] for line in said.err.splitlines()] == [f"fastbp: member {i}" for i in lost]
    assert f"without an epoch that stayed finite: {', '.join(map(str, lost))}" in said.out
    assert len(fb.load(tmp_path / "d" / "members.safetensors")) == 6 - len(lost)
    assert main(["show", str(tmp_path / "d")]) == 0


def test_a_member_that_diverged_stays_out_where_others_go_on(there, tmp_path):
    sets = ["--set", "trainer.optimizer=sgd", "--set", "pack.space={trainer.optimizer.lr: [0.01, 1e30]}"]
    again, once = tmp_path / "again", tmp_path / "once"
    for folder, epochs in ((again, 2), (once, 4)):
        more = ["--set", f"trainer.epochs={epochs}", "--set", "trainer.schedule=null"]
        assert main(["train", "digits.yaml", "-q", "--run-dir", str(folder), *sets, *more]) == 0
    assert main(["train", "--resume", str(again), "-q", "--set", "trainer.epochs=4"]) == 0
    found, wanted = (PackCheckpoint.load(folder / "checkpoint.safetensors") for folder in (again, once))
    assert found.diverged == wanted.diverged
    assert 0 < sum(found.diverged) < 4
    for one, other in zip(found.networks, wanted.networks, strict=True):
        assert one.history.stopped == other.history.stopped
        assert {key: array.tobytes() for key, array in one.arrays.items()} == {
            key: array.tobytes() for key, array in other.arrays.items()
        }
    assert result_of(again)["ensembles"] == result_of(once)["ensembles"]


def test_where_no_member_stays_finite_there_is_nothing_to_keep(there, tmp_path, capsys):
    sets = ["--set", "trainer.optimizer=sgd", "--set", "pack.space={trainer.optimizer.lr: [1e30]}"]
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(tmp_path / "d"), *sets]) == 4
    last = capsys.readouterr().err.splitlines()[-2:]
    assert last[0].startswith("fastbp: no member stayed finite for an epoch; the first: ")
    assert last[1] == "hint: a smaller learning rate or `trainer.clip_norm` may help"


# Stopping and going on


LONG = """
data: {source: friedman, rows: 30000}
network: {hidden: [16]}
trainer: {epochs: 2, metrics: [r2]}
pack: {members: 3, space: {trainer.batch_size: [4, 8]}}
run: {checkpoint_seconds: 1000}
"""


def bits(folder):
    arrays = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    return [{key: array.tobytes() for key, array in each.items()} for each in arrays]


def test_before_an_ensemble_of_epochs_there_is_nothing_to_end_with_and_a_later_call_goes_on(tmp_path, capsys):
    whole, cut, config = tmp_path / "whole", tmp_path / "cut", str(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(LONG.replace("pack: {", "pack: {online: {}, "))
    assert main(["train", config, "-q", "--run-dir", str(whole)]) == 0
    capsys.readouterr()
    assert main(["train", config, "-q", "--run-dir", str(cut), "--time-limit", "0.01"]) == 75
    err = capsys.readouterr().err
    assert err == (
        f"fastbp: the time limit of 0.01 seconds is reached\nhint: go on with `fastbp train --resume {cut}`\n"
    )
    found = PackCheckpoint.load(cut / "checkpoint.safetensors")
    assert any(one.numbers["place"]["cursor"] for one in found.networks)
    assert main(["show", str(cut)]) == 0
    assert capsys.readouterr().out == "no epoch is done yet\n"
    assert main(["train", "--resume", str(cut), "-q"]) == 0
    assert bits(cut) == bits(whole)
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_a_table_is_read_once_for_all_folds(tmp_path, monkeypatch):
    from fastbp.data import prepare

    read_paths, seen = prepare.read_paths, []
    monkeypatch.setattr(prepare, "read_paths", lambda paths, data: seen.append(paths) or read_paths(paths, data))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(60)))
    text = "data: {path: t.csv, target: y, task: classes}\nnetwork: {hidden: [2]}\npack: {folds: 3}\n"
    (tmp_path / "c.yaml").write_text(text)
    subjects = subjects_of(plan_of(read("c.yaml")))
    assert (len(subjects), seen) == (3, ["t.csv"])
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(40)))
    assert len(prepare.frames_of(plan_of(read("c.yaml")).config.data, 0)[3]) == 40  # not kept for long


def test_at_the_time_limit_it_ends_with_the_ensembles_of_what_is_there_and_a_later_call_goes_on(
    tmp_path, capsys, monkeypatch
):
    whole, cut, config = tmp_path / "whole", tmp_path / "cut", str(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(LONG.replace("epochs: 2", "epochs: 4, threads: 1"))
    assert main(["train", config, "-q", "--run-dir", str(whole)]) == 0

    def between(self, before=PackTraining._between):
        if self.runners[1].best_arrays and not self.runners[1].history.stopped:
            self.plan.time_limit = 1e-9
        before(self)

    with monkeypatch.context() as patched:
        patched.setattr(PackTraining, "_between", between)
        assert main(["train", config, "-q", "--run-dir", str(cut), "--time-limit", "1h"]) == 0
    out = capsys.readouterr().out
    assert "stopped as the time limit of 1e-09 seconds is reached; `fastbp train --resume" in out
    assert "not trained for an epoch yet: 2\n" in out
    result = json.loads((cut / "result.json").read_text())
    first, second, third = (one["networks"][0]["epochs"] for one in result["members"])
    assert (first, third) == (4, 0)  # one after another, so that the first is whole
    assert 1 <= second < 4
    assert set(result["order"]) == {0, 1}
    assert set(result["ensembles"]["uniform"]["members"]) == {"0", "1"}
    assert len(fb.load(cut).members) == len(result["ensembles"]["greedy"]["members"])
    assert main(["train", "--resume", str(cut), "-q"]) == 0
    assert bits(cut) == bits(whole)
    assert json.loads((cut / "result.json").read_text())["stopped"] == ""


def test_one_after_another_a_member_that_diverges_makes_room_for_the_next():
    ran = []

    def work(name, calls):
        try:
            for i in range(calls):
                yield f"{name}{i}"
                ran.append(f"{name}{i}")
        except DivergedError:
            ran.append(f"{name} lost")

    works = [begun(work("a", 2)), work("b", 2), begun(work("c", 0)), begun(work("d", 1))]
    ((lane,),) = in_turn(works, 1, alone=False)
    assert next(lane) == "a0"
    assert lane.throw(DivergedError("", 0, "")) == "b0"  # at its first call
    assert next(lane) == "b1"
    assert lane.throw(DivergedError("", 0, "")) == "d0"  # at a later one
    assert list(lane) == []
    assert ran == ["a lost", "b0", "b lost", "d0"]
    ((one, two),) = in_turn([work("e", 1), work("f", 1), work("g", 1)], 2, alone=False)
    assert [next(one), next(two), next(two)] == ["e0", "f0", "g0"]
    assert [list(one), list(two)] == [[], []]
    (alone,), (one, two) = in_turn([work("h", 2), work("i", 2), work("j", 1), work("k", 1)], 2, alone=True)
    assert list(alone) == ["h0", "h1"]
    assert [next(one), next(two), next(one), next(one), list(one), list(two)] == ["i0", "j0", "i1", "k0", [], []]
    (alone,), (one,) = in_turn([work("l", 1), work("m", 2), work("n", 1)], 1, alone=True, over=lambda: "m0" in ran)
    assert [list(alone), list(one)] == [["l0"], ["m0", "m1"]]  # what has begun goes on, the next does not begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_checkpoint_from_which_it_goes_on(number, tmp_path, capsys, monkeypatch):
    whole, cut, config = tmp_path / "whole", tmp_path / "cut", str(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(LONG)
    assert main(["train", config, "-q", "--run-dir", str(whole)]) == 0
    capsys.readouterr()
    between, regions = PackTraining._between, []

    def interrupted(self):
        regions.append(1)
        if len(regions) == 5:
            os.kill(os.getpid(), number)
        between(self)

    with monkeypatch.context() as patch:
        patch.setattr(PackTraining, "_between", interrupted)
        assert main(["train", config, "-q", "--run-dir", str(cut)]) == 128 + number
    said = capsys.readouterr()
    assert said.err == f"fastbp: stopped by {number.name}\nhint: go on with `fastbp train --resume {cut}`\n"
    assert said.out == ""
    assert len(regions) == 5
    assert not (cut / "result.json").exists()
    assert main(["train", "--resume", str(cut), "-q"]) == 0
    assert bits(cut) == bits(whole)


class Killed(BaseException):
    """In the place of kill -9."""


STEPS = """
data: {source: friedman, rows: 300, noise: 1.0}
network: {hidden: [6], norm: batch_norm}
trainer: {epochs: 9, batch_size: 16, ema: 0.8, reduce_lr: {patience: 1}, early_stopping: {patience: 3}, metrics: [r2]}
pack: {members: 2, folds: 2, space: {trainer.optimizer.lr: [0.05, 0.3], trainer.accumulate: [1, 3]}}
"""


@pytest.mark.parametrize("regions", [2, 5])
def test_a_run_that_is_killed_behind_every_few_regions_ends_on_the_same_bits(regions, tmp_path, monkeypatch, capsys):
    whole, cut, config = tmp_path / "whole", tmp_path / "cut", str(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text(STEPS)
    assert main(["train", config, "-q", "--run-dir", str(whole)]) == 0
    between, left, states = PackTraining._between, [0], set()

    def killed(self):
        between(self)
        left[0] -= 1
        if left[0] <= 0:
            self.save()
            for one in self.runners:
                history = one.history
                states.add((len(history.loss) - len(history.val_loss), bool(history.stopped)))
            raise Killed

    command, kills = ["train", config, "-q", "--run-dir", str(cut)], 0
    with monkeypatch.context() as patch:
        patch.setattr(PackTraining, "_between", killed)
        while kills < 1000:
            left[0] = regions
            try:
                assert main(command) == 0
                break
            except Killed:
                command = ["train", "--resume", str(cut), "-q"]
                kills += 1
    assert kills > 20 // regions
    if regions == 2:
        assert states >= {(0, False), (1, False), (0, True)}  # before a validation, after it, and stopped
    assert bits(cut) == bits(whole)
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    first, second = (result_of(folder) for folder in (cut, whole))
    assert [first[key] for key in ("members", "order", "ensembles")] == [
        second[key] for key in ("members", "order", "ensembles")
    ]


def test_show_says_how_far_members_are(there, tmp_path, capsys):
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / name).write_bytes((there / "numbers" / name).read_bytes())
    assert main(["show", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["member", "fold", "epochs", "best", "val_r2", "at"]
    found = PackCheckpoint.load(there / "numbers" / "checkpoint.safetensors").networks
    values = [float(line.split()[3]) for line in lines[1:7]]
    assert values == sorted(values, reverse=True)
    assert values == pytest.approx(sorted((one.best["value"] for one in found), reverse=True), rel=1e-3)
    assert lines[-1].endswith(f" epochs done, not finished: `fastbp train --resume {tmp_path}` goes on")


def test_more_epochs_go_on_from_the_last(there, tmp_path, capsys):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    constant = ["--set", "trainer.schedule=null"]
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(whole), *constant, "--set", "trainer.epochs=7"]) == 0
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(cut), *constant]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", str(cut), "-q"]) == 0
    err = capsys.readouterr().err
    assert err == (
        "fastbp: nothing was trained, as the 4 networks of this run have ended\n"
        "hint: `--set trainer.epochs=10` trains those on that were not stopped\n"
    )
    assert main(["train", "--resume", str(cut), "-q", "--set", "trainer.epochs=7"]) == 0
    assert bits(cut) == bits(whole)


def test_more_patience_goes_on_with_members_that_were_stopped(there, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    long = ["--set", "trainer.epochs=30", "--set", "trainer.optimizer.lr=0.02", "--set", "trainer.schedule=null"]
    patience = "trainer.early_stopping.patience"
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(whole), *long, "--set", f"{patience}=6"]) == 0
    assert main(["train", "digits.yaml", "-q", "--run-dir", str(cut), *long, "--set", f"{patience}=2"]) == 0
    before, after = ([one["networks"][0]["epochs"] for one in result_of(folder)["members"]] for folder in (cut, whole))
    assert all(a < b for a, b in zip(before, after, strict=True))
    assert main(["train", "--resume", str(cut), "-q", "--set", f"{patience}=6"]) == 0
    assert bits(cut) == bits(whole)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("pack.members=5", "`pack.members` must stay `4` when a run is resumed"),
        ("trainer.batch_size=7", "`trainer.batch_size` must stay `32` when a run is resumed"),
        ("trainer.epochs=3", "`trainer.epochs` must be at least 5, the epochs begun so far of"),
    ],
)
def test_what_may_not_change_is_refused(said, message, there, capsys):
    assert main(["train", "--resume", "digits", "--set", said]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"fastbp: --set {said}: {message}")
    assert err.count("\n") == 1


def damaged(path, out, change):
    found = PackCheckpoint.load(path)
    change(found)
    out.mkdir()
    (out / "config.yaml").write_bytes((path.parent / "config.yaml").read_bytes())
    (out / "checkpoint.safetensors").write_bytes(found.to_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: (found.networks.pop(), found.diverged.pop()), "got 3 networks, where there must be 4"),
        (lambda found: found.networks[1].history.loss.pop(), "got 5 of `lr`, where there must be 4 (network 1)"),
        (lambda found: found.networks[2].best.update(value=0.0), "got `0.0` as the best `val_loss` (network 2)"),
        (lambda found: found.networks[0].arrays.pop("best/flat"), "got no `best/flat` (network 0)"),
        (lambda found: setattr(found, "rows", "0"), "must be resumed with the same rows, but its files have others"),
    ],
    ids=["fewer networks", "a loss less", "another best", "no best network", "other rows"],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change, message, there, tmp_path, capsys):
    damaged(there / "digits" / "checkpoint.safetensors", tmp_path / "d", change)
    assert main(["train", "--resume", str(tmp_path / "d")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_result_that_was_edited_is_refused(there, tmp_path, capsys):
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / name).write_bytes((there / "digits" / name).read_bytes())
    for change in ({"order": [0]}, {"members": []}, {"format": "x"}, {"ensembles": {}}, {"order": "abc"}):
        (tmp_path / "result.json").write_text(json.dumps({**result_of(there / "digits"), **change}))
        assert main(["show", str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"fastbp: `{tmp_path / 'result.json'}` must be JSON as a run writes it\n"
    (tmp_path / "result.json").unlink()
    lines = (there / "digits" / "metrics.jsonl").read_text().splitlines()
    for i, line in ((1, "[]"), (2, lines[0]), (3, '{"member": 0}')):
        (tmp_path / "metrics.jsonl").write_text("\n".join([*lines[: i - 1], line, *lines[i:]]))
        assert main(["show", str(tmp_path)]) == 2
        assert f"must be lines as a run writes them, but line {i} is not" in capsys.readouterr().err


def test_check_keeps_no_more_than_one_network(there, monkeypatch, capsys):
    there_now, most = set(), [0]

    def counted(graph, *more):
        net = made(graph, *more)
        there_now.add(id(net))
        weakref.finalize(net, there_now.discard, id(net))
        most[0] = max(most[0], len(there_now))
        return net

    made = fb.Network.of_graph
    monkeypatch.setattr(fb.Network, "of_graph", counted)
    gc.disable()
    try:
        assert main(["check", "table.yaml", "--json", "--set", "pack.members=20"]) == 0
    finally:
        gc.enable()
    assert json.loads(capsys.readouterr().out)["pack"]["networks"] == 40
    assert 1 <= most[0] <= 3  # one that is made while a name is of the one before, and the graph's


def test_explain_takes_the_ensemble_of_a_run(there, capsys):
    assert main(["explain", "table", "--repeats", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["part"], found["metric"], found["rows"]) == ("test", "roc_auc", 200)
    assert found["score"] == pytest.approx(
        result_of(there / "table")["ensembles"]["greedy"]["metrics"]["test"]["roc_auc"]
    )
    assert found["columns"][0]["column"] == "c"
    assert main(["explain", "table", "-d", "c", "--points", "3", "-o", "c.svg", "-o", "c.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "y = yes by `c` on 200 test rows"
    assert lines[2].split() == ["c", "rows", "mean", "80", "%", "of", "rows", "bend"]
    assert lines[-1] == "and 27 more values"
    assert len((there / "c.csv").read_text().splitlines()) == 7
    for part in (["--part", "validation"], ["--part", "validation", "-d", "c"]):
        assert main(["explain", "table", *part]) == 2
        assert capsys.readouterr().err == "fastbp: `--part` must be one of `test`, got `validation`\n"
    assert main(["explain", "digits", "--repeats", "1", "--rows", "50"]) == 0
    assert capsys.readouterr().out.startswith("accuracy ")


def test_check_says_what_there_is(there, capsys):
    assert main(["check", "table.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4] == "3 members on 2 folds, 6 networks"
    assert lines[-3].split(maxsplit=1) == ["trainer.optimizer.weight_decay", "one of 0, 0.1"]
    assert lines[-2].split(maxsplit=1) == ["network.norm", "one of null, layer_norm"]
    assert "400 rows each, about" in lines[-1]
    assert main(["check", "table.yaml", "--json", "--set", "pack.members=8", "--set", "pack.folds=null"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pack"]["members"] == found["pack"]["networks"] == 8
    assert found["memory_bytes"] > 0
    assert main(["check", "table.yaml", "--plan"]) == 2
    assert capsys.readouterr().err.startswith("fastbp: `--plan` prints the plan of one network")


ONLINE = """
name: online
data: {source: digits, scale: none}
network: {hidden: [16]}
trainer: {epochs: 25, optimizer: {name: adamw, lr: 0.005}, metrics: [log_loss], early_stopping: {patience: 3}}
pack:
  members: 5
  online: {size: 4, patience: 6}
  space:
    trainer.optimizer.lr: {log: [5.0e-4, 5.0e-2]}
    network.dropout: [0.0, {uniform: [0.0, 0.5]}]
"""


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """A run that chooses epochs of its members."""
    folder = tmp_path_factory.mktemp("online")
    (folder / "c.yaml").write_text(ONLINE)
    assert main(["train", str(folder / "c.yaml"), "-q", "--run-dir", str(folder / "run")]) == 0
    return folder


def test_an_ensemble_of_epochs_has_the_networks_of_those_epochs(online):
    ensemble, result = fb.load(online / "run" / "ensemble.safetensors"), result_of(online / "run")
    assert result["ensemble"] == "online"
    assert list(result["ensembles"]["online"]["members"]) == [f"{m} epoch {e}" for m, e in ensemble.chosen]
    assert 1 < len(ensemble) <= 4
    plan = plan_of(read(online / "c.yaml"))
    for (member, epoch), net in zip(ensemble.chosen, ensemble.members, strict=True):
        alone = configuration(plan, member)
        alone["trainer"] = {**alone["trainer"], "epochs": epoch}
        (online / "one.yaml").write_text(as_yaml(alone))
        folder = online / f"{member} {epoch}"
        assert main(["train", str(online / "one.yaml"), "-q", "--run-dir", str(folder)]) == 0
        last = Checkpoint.load(folder / "checkpoint.safetensors")
        for name in net.parameters:
            assert net.parameters[name].tobytes() == last.arrays[f"parameters/{name}"].tobytes()


def test_each_epoch_of_that_ensemble_made_it_better(online):
    ensemble, result = fb.load(online / "run" / "ensemble.safetensors"), result_of(online / "run")
    assert np.all(np.diff(ensemble.scores) < 0)
    found = result["ensembles"]
    assert found["online"]["metrics"]["validation"]["loss"] == pytest.approx(ensemble.scores[-1], rel=1e-6)
    assert ensemble.scores[-1] < found["best"]["metrics"]["validation"]["loss"]
    X, y = fb.data.digits("validation")
    assert ensemble.evaluate(X, y, "log_loss") == pytest.approx(ensemble.scores[-1], rel=1e-6)


def test_a_run_ends_when_its_ensemble_is_no_longer_getting_better(online, tmp_path, capsys):
    stops = [one["networks"][0]["stopped"] for one in result_of(online / "run")["members"]]
    epochs = [one["networks"][0]["epochs"] for one in result_of(online / "run")["members"]]
    assert all(bool(stop) == (count < 25) for stop, count in zip(stops, epochs, strict=True))
    assert any(stop == "`val_loss` did not improve for 3 epochs" for stop in stops)
    state = PackCheckpoint.load(online / "run" / "checkpoint.safetensors")
    assert state.done
    assert state.online.rounds == max(epochs)
    (tmp_path / "c.yaml").write_text(ONLINE.replace("patience: 6", "patience: 1").replace("size: 4", "size: 1"))
    assert main(["train", str(tmp_path / "c.yaml"), "-q", "--run-dir", str(tmp_path / "short")]) == 0
    short = result_of(tmp_path / "short")["members"]
    assert any(one["networks"][0]["stopped"] == "the ensemble did not improve for 1 epochs" for one in short)
    capsys.readouterr()
    assert main(["show", str(tmp_path / "short")]) == 0
    assert "online ensemble" in capsys.readouterr().out


def test_a_checkpoint_whose_ensemble_is_another_is_refused(online, tmp_path, capsys):
    state = PackCheckpoint.load(online / "run" / "checkpoint.safetensors")
    for change in (
        lambda one: setattr(one, "online", None),
        lambda one: one.online.scores.append(0.1),
        lambda one: one.online.chosen.__setitem__(0, (99, 1)),
        lambda one: one.kept.update({"online/0/flat": np.zeros(3, np.float32)}),
        lambda one: one.kept.update({"online/77/flat": np.zeros(3, np.float32)}),
        lambda one: one.kept["online/0/flat"].__setitem__(0, np.nan),
    ):
        other = PackCheckpoint.load(online / "run" / "checkpoint.safetensors")
        other.kept = {name: array.copy() for name, array in other.kept.items()}
        change(other)
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text((online / "run" / "config.yaml").read_text())
        (folder / "checkpoint.safetensors").write_bytes(other.to_bytes())
        capsys.readouterr()
        assert main(["train", "--resume", str(folder), "--set", "trainer.epochs=30", "-q"]) == 2
        assert "must be consistent with itself and its run, got " in capsys.readouterr().err
    assert state.online is not None


def test_epochs_of_running_averages_predict_tables(there, tmp_path):
    config = TABLE.replace("folds: 2", "online: {}").replace("epochs: 4", "epochs: 4\n  ema: 0.9")
    (tmp_path / "c.yaml").write_text(config.replace("t.csv", str(there / "t.csv")))
    assert main(["train", str(tmp_path / "c.yaml"), "-q", "--run-dir", str(tmp_path / "run")]) == 0
    found = fb.load(tmp_path / "run" / "ensemble.safetensors").predict(str(there / "t.csv"))
    assert len(found["y"]) == 1000


@pytest.fixture
def whole_run(monkeypatch):
    """Runs that have been trained, as they are then."""
    found = []
    train = PackTraining._train

    def trained(self):
        train(self)
        found.append(self)

    monkeypatch.setattr(PackTraining, "_train", trained)
    return found


def test_a_member_that_has_left_is_a_candidate_with_its_best_epoch(tmp_path, whole_run):
    (tmp_path / "c.yaml").write_text(ONLINE)
    assert main(["train", str(tmp_path / "c.yaml"), "-q", "--run-dir", str(tmp_path / "run")]) == 0
    (run,) = whole_run
    left = {i: one for i, one in run.online._gone.items() if run.runners[i].history.stopped}
    assert left
    for i, one in left.items():
        runner = run.runners[i]
        assert (one.member, one.epoch) == (i, runner.best["epoch"])
        assert one.epoch < len(runner.history.loss)
        assert one.kept.flat.tobytes() == runner.best_arrays["flat"].tobytes()
        said = one.kept.probabilities(fb.data.digits("validation")[0])
        loss = -np.log(said[np.arange(len(said)), fb.data.digits("validation")[1]]).mean()
        assert loss == pytest.approx(runner.best["value"], rel=1e-5)


@pytest.mark.parametrize("pending", [False, True], ids=["apart", "before its validation"])
@pytest.mark.parametrize("regions", [1, 7, 33, 60])
def test_members_that_have_done_their_epoch_wait_when_a_run_goes_on(
    regions, pending, online, tmp_path, monkeypatch, capsys
):
    """Stopped where some have, and others have not, with calls of a step each."""
    between, candidates, left, apart, ahead = PackTraining._between, RunOnline._candidates, [regions], [], []
    monkeypatch.setattr("fastbp.train.pack_calls.CALL_SECONDS", 1e-9)

    def stopped(self):
        left[0] -= 1
        done = {len(one.history.val_loss) for one in self.runners}
        waits = any(len(one.history.loss) > len(one.history.val_loss) for one in self.runners)
        if left[0] <= 0 and (waits if pending else len(done) > 1):
            apart.append(done)
            self.plan.time_limit = 1e-9
        between(self)

    def noted(self, asked, turns, running):
        ahead.extend(i for i in asked if running[i] and len(self.members[i].history.loss) != self.rounds + 1)
        return candidates(self, asked, turns, running)

    monkeypatch.setattr(RunOnline, "_candidates", noted)
    command = ["train", str(online / "c.yaml"), "-q", "--run-dir", str(tmp_path / "cut"), "--time-limit", "1h"]
    with monkeypatch.context() as patch:
        patch.setattr(PackTraining, "_between", stopped)
        assert main(command) in (0, 75)
    assert apart
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path / "cut"), "-q"]) == 0
    assert ahead == []
    for name in ("ensemble.safetensors", "members.safetensors", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (online / "run" / name).read_bytes()
