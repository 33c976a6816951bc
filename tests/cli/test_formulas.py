"""Formulas in configurations, and networks drawn from the command line."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main

CONFIG = """
data: {source: friedman, rows: 400}
network: {hidden: [16, 16], activation: "x * tanh(log(1 + exp(x)))"}
trainer: {epochs: 3, loss: "log(1 + (z - t) ** 2)", penalty: "1e-4 * abs(w)", optimizer: {name: adam, lr: 0.01}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formulas")
    (folder / "config.yaml").write_text(CONFIG)
    assert main(["train", str(folder / "config.yaml"), "--run-dir", str(folder / "run"), "-q"]) == 0
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def shown(capsys, *arguments):
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_with_formulas_learns_and_keeps_them(here, capsys):
    result = json.loads(Path("run/result.json").read_text())
    assert result["metrics"]["test"]["r2"] > 0.3
    net = fb.load("run/best.safetensors")
    assert repr(net.layers[1]) == "activation('x * tanh(log(1 + exp(x)))')"


def test_evaluation_takes_the_loss_of_the_run(here, capsys):
    result = json.loads(Path("run/result.json").read_text())
    assert shown(capsys, "evaluate", "run", "--json")["metrics"] == result["metrics"]


def test_evaluation_of_the_network_alone_knows_the_formula(here, capsys, tmp_path):
    net = fb.load("run/best.safetensors")
    (tmp_path / "alone.safetensors").write_bytes(Path("run/best.safetensors").read_bytes())
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(50, 10))
    np.savez("rows.npz", X=rows, target=rng.normal(size=50))
    found = shown(capsys, "evaluate", str(tmp_path / "alone.safetensors"), "rows.npz", "--json")["metrics"]["files"]
    assert np.isfinite(found["loss"])
    assert net.about["recipe"]["loss"] == "log(1 + (z - t) ** 2)"


def test_the_written_configuration_runs_to_the_same_bits(here):
    assert main(["train", "run/config.yaml", "--run-dir", "again", "-q"]) == 0
    assert Path("again/best.safetensors").read_bytes() == Path("run/best.safetensors").read_bytes()


@pytest.mark.parametrize("source", ["config.yaml", "run", "run/best.safetensors"])
def test_show_draws_a_configuration_a_run_and_a_network(here, source, capsys):
    capsys.readouterr()
    assert main(["show", source, "--graph", "net.svg"]) == 0
    assert capsys.readouterr().out == "wrote net.svg\n"
    texts = [element.text for element in ET.parse("net.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert "0 · Linear + Custom" in texts
    assert "10 → 16, 176 parameters" in texts
    assert any(text.startswith("‖∇‖") for text in texts) == (source == "config.yaml")


def test_what_was_drawn_is_told_as_json_and_not_at_all(here, capsys):
    assert shown(capsys, "show", "config.yaml", "--graph", "net.svg", "--json") == {"graph": "net.svg"}
    assert main(["show", "config.yaml", "--graph", "net.svg", "-q"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["show", "run", "--graph", "net.png"],
            "`--graph` must be a file whose name ends in `.svg`, got `net.png`",
        ),
        (
            ["show", "none.safetensors", "--graph", "net.svg"],
            "`none.safetensors` must be a network or the folder of a run with a network, but does not exist",
        ),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(here, arguments, message, capsys):
    capsys.readouterr()
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"fastbp: {message}\n"
