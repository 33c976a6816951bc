"""Runs whose targets are transformed: metrics, reports, predictions and derivatives in the units of the table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.runs.explain import explain
from fastbp.runs.scores import subject_at

CONFIG = """
data:
  path: houses.csv
  target: [price, rooms]
  task: numbers
  target_transform: {target_transform}
  split: {{column: part}}
network: {{hidden: [8], activation: tanh}}
trainer: {{epochs: 15, loss: {loss}, metrics: [rmse, r2, mae], optimizer: {{name: adam, lr: 0.02}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("houses")
    rng = np.random.default_rng(0)
    size = rng.normal(0.0, 1.0, 300)
    price = np.exp(3.0 + 1.5 * size + rng.normal(0.0, 0.3, 300))
    price[-1] = 1e5  # a test row beyond the training rows
    rooms = 4.0 + size + rng.normal(0.0, 0.2, 300)
    part = ["train", "train", "validation", "test"] * 75
    with open(folder / "houses.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["size", "part", "price", "rooms"])
        for s, p, y, r in zip(size, part, price, rooms, strict=True):
            out.writerow([f"{s:.4f}", p, f"{y:.4f}", f"{r:.4f}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, transform, loss in (
            ("log", "{price: log}", "mse"),
            ("quantile", "quantile", "mse"),
            ("spread", "{price: log1p, rooms: sqrt}", "gaussian_nll"),
        ):
            Path("c.yaml").write_text(CONFIG.format(target_transform=transform, loss=loss))
            assert main(["train", "c.yaml", "--run-dir", name, "-q"]) == 0
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def rows_of(part):
    """Sizes and targets of a part, as they stand in the file."""
    with open("houses.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if part in (None, row["part"])]
    return {name: np.array([float(row[name]) for row in rows]) for name in ("size", "price", "rooms")}


def error(name, part, target):
    table = rows_of(part)
    found = fb.load(name).predict({"size": table["size"]})
    return np.sqrt(np.mean((found[target] - table[target]) ** 2)), table


@pytest.mark.parametrize("name", ["log", "quantile", "spread"])
def test_metrics_reports_and_curves_are_in_the_units_of_the_table(name):
    result = json.loads(Path(name, "result.json").read_text())
    for part in ("train", "validation", "test"):
        (price, table), (rooms, _) = error(name, part, "price"), error(name, part, "rooms")
        wanted = (price + rooms) / 2.0
        assert result["metrics"][part]["rmse"] == pytest.approx(wanted, rel=1e-6)
    report = {row["name"]: row for row in result["report"]["columns"]}
    assert report["price"]["rmse"] == pytest.approx(price, rel=1e-6)
    assert report["rooms"]["rmse"] == pytest.approx(rooms, rel=1e-6)
    assert report["price"]["r2"] == pytest.approx(1.0 - price**2 / table["price"].var(), rel=1e-6)
    epochs = [json.loads(line) for line in Path(name, "metrics.jsonl").read_text().splitlines()]
    best = epochs[result["best_epoch"] - 1]
    assert best["val_rmse"] == pytest.approx(result["metrics"]["validation"]["rmse"], rel=1e-6)


def test_evaluate_says_what_training_said(capsys):
    with open("houses.csv") as file:
        lines = file.readlines()
    Path("test.csv").write_text("".join([lines[0], *(line for line in lines if ",test," in line)]))
    for name in ("log", "quantile", "spread"):
        capsys.readouterr()
        assert main(["evaluate", name, "test.csv", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["metrics"]["files"]
        wanted = json.loads(Path(name, "result.json").read_text())["metrics"]["test"]
        assert found == {key: pytest.approx(value, rel=1e-6) for key, value in wanted.items()}


def test_predictions_are_the_inverse_of_the_network_s_outputs(capsys):
    net, table = fb.load("log"), rows_of(None)
    X = (table["size"] - rows_of("train")["size"].mean()) / rows_of("train")["size"].std()
    z = net.predict(X[:, None].astype(np.float32)).astype(np.float64)
    log, rooms = np.log(rows_of("train")["price"]), rows_of("train")["rooms"]
    capsys.readouterr()
    assert main(["predict", "log", "houses.csv"]) == 0
    said = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    prices = [float(row["price"]) for row in said]
    np.testing.assert_allclose(prices, np.exp(z[:, 0] * log.std() + log.mean()), rtol=1e-5)
    np.testing.assert_allclose([float(r["rooms"]) for r in said], z[:, 1] * rooms.std() + rooms.mean(), rtol=1e-5)


@pytest.mark.parametrize("name", ["log", "quantile", "spread"])
def test_sensitivities_follow_the_chain_rule(name):
    """Against differences of predictions for the raw table, of which an input is one standard deviation."""
    found, table, deviation = explain(name), rows_of("test"), rows_of("train")["size"].std()
    net, h = fb.load(name), 2e-3
    ends = [net.predict({"size": table["size"] + sign * h * deviation}) for sign in (-1, 1)]
    steps = [np.abs(ends[1][target] - ends[0][target]) / (2 * h) for target in ("price", "rooms")]
    assert found.sensitivities == [pytest.approx(np.mean(steps), rel=0.02)]
    assert subject_at(name).recipe.outputs.transformed


def test_a_row_outside_the_domain_is_refused_by_its_line(capsys):
    Path("zero.csv").write_text("size,price,rooms\n1,2,3\n1,0,3\n")
    assert main(["evaluate", "log", "zero.csv"]) == 3
    assert capsys.readouterr().err == (
        "fastbp: zero.csv:3: target `price` must be above 0 for the transform `log`, got `0`\n"
    )
