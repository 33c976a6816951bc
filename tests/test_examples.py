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


def test_the_program_with_everything_in_it_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text()
    program = re.search(r"```python\n(net = fb.Network\(\n    \[\n        fb.Embedding.*?)```", text, re.S)[1]
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 8))
    X[:, 3] = rng.integers(0, 12, 90)
    y = rng.integers(0, 3, 90)
    names = {"fb": fastbp, "X": X, "y": y, "w": rng.random(90), "X_val": X[:30], "y_val": y[:30]}
    exec(compile(program, "README.md", "exec"), names)
    assert len(capsys.readouterr().out.split()) == len(names["history"].loss) > 1
    assert len((tmp_path / "runs" / "history.csv").read_text().splitlines()) == len(names["history"].loss) + 1
    assert fastbp.load("runs/best.safetensors").predict(X).shape == (90, 3)


def programs(beginning):
    """The programs of the README that begin so, with what is shown below each."""
    text = (ROOT / "README.md").read_text()
    return re.findall(rf"```python\n({beginning}.*?)```(?:\n\n```text\n(.*?)```)?", text, re.S)


def test_the_network_with_branches_trains_and_is_drawn(tmp_path, monkeypatch):
    ((program, _),) = programs(r"x = fb\.Input")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {"X": rng.normal(size=(40, 17)), "actions": rng.integers(0, 6, 40), "returns": rng.normal(size=(40, 1))}
    exec(compile(program, "README.md", "exec"), {"fb": fastbp, **names})
    assert (tmp_path / "net.svg").read_text().startswith("<svg")


def test_the_formulas_of_the_readme_can_be_trained_on():
    ((program, _),) = programs(r"net = fb\.mlp\(\[4, 64, 3\], activation=\"")
    names = {"fb": fastbp, "np": np}
    exec(compile(program, "README.md", "exec"), names)
    rng = np.random.default_rng(0)
    history = names["trainer"].fit(rng.normal(size=(64, 4)), rng.normal(size=(64, 3)), epochs=5)
    assert history.loss[-1] < history.loss[0]


def test_the_traced_function_prints_what_stands_below_it(capsys):
    ((program, shown),) = programs(r"F = fb\.trace")
    exec(compile(program, "README.md", "exec"), {"fb": fastbp})
    assert capsys.readouterr().out == shown
