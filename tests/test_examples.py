"""What the docstrings and the README show is what happens."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).resolve().parent.parent
MODULES = [m.name for m in pkgutil.walk_packages(fastbp.__path__, "fastbp.")]
WITH_EXAMPLES = [
    name
    for name in MODULES
    if any(test.examples for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)))
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_print_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples_where_users_look_first():
    assert {"fastbp.model.network", "fastbp.train.trainer", "fastbp.data", "fastbp.reference"} <= set(WITH_EXAMPLES)


def test_the_first_program_of_the_readme_prints_what_stands_below_it(capsys):
    text = (ROOT / "README.md").read_text()
    program = re.search(r"```python\n(import fastbp.*?)```", text, re.S)[1]
    shown = re.search(r"```text\n(.*?)```", text, re.S)[1]
    exec(compile(program, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    seconds = re.compile(r"seconds=[\d.e-]+")
    history, accuracy = seconds.sub("", printed).split("\n")[:2]
    shown_history, shown_accuracy = seconds.sub("", shown).split("\n")[:2]
    assert history == shown_history
    assert np.isclose(float(accuracy), float(shown_accuracy))


def test_nothing_in_the_readme_waits_to_be_filled_in():
    assert "@@" not in (ROOT / "README.md").read_text()


def programs(part):
    """The programs of the README in which this occurs, with what is shown below each."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.S)
    return [(program, shown) for program, shown in found if part in program]


def run(part):
    """What the only program with this part leaves, without anything that stands elsewhere."""
    ((program, _),) = programs(part)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    return names


def test_the_program_with_everything_in_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("fb.Embedding")
    epochs = len(names["history"].loss)
    assert len(capsys.readouterr().out.split()) == epochs > 1
    assert len((tmp_path / "runs" / "history.csv").read_text().splitlines()) == epochs + 1
    assert fastbp.load("runs/best.safetensors").predict(names["X"]).shape == (1200, 3)
    assert max(names["history"]["val_accuracy"]) > 0.8


def test_the_network_with_branches_trains_and_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("fb.Input(17)")
    assert (tmp_path / "net.svg").read_text().startswith("<svg")


def test_the_formulas_of_the_readme_can_be_trained_on():
    trainer = run('fb.mlp([4, 64, 3], activation="')["trainer"]
    rng = np.random.default_rng(0)
    history = trainer.fit(rng.normal(size=(64, 4)), rng.normal(size=(64, 3)), epochs=5)
    assert history.loss[-1] < history.loss[0]


def test_the_traced_function_prints_what_stands_below_it(capsys):
    ((program, shown),) = programs("F = fb.trace")
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_pack_of_the_readme_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ((program, shown),) = programs("fb.Pack")
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown
    assert len(fastbp.load("pack.safetensors")) == 4


def test_every_program_of_the_readme_is_a_whole_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = programs("")
    assert len(found) > 5
    for program, _ in found:
        exec(compile(program, "README.md", "exec"), {})
