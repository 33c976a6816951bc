"""Mistakes at the command line: each is one sentence, with what to do."""

from pathlib import Path

import pytest

from fastbp.cli.main import main

MISTAKES = {
    "no table": (["init"], "`DATA` must be given, as in `fastbp init DATA`", "try `fastbp init --help`"),
    "two tables": (
        ["init", "numbers.csv", "classes.csv"],
        "`fastbp init` must have `DATA` as its only argument, got `classes.csv` too",
        "hint: several files are a folder or a pattern in quotes, such as `'parts/*.csv'`",
    ),
    "an option without its value": (
        ["init", "numbers.csv", "-t"],
        "`-t` must have a value behind it",
        "try `fastbp init --help`",
    ),
    "a value for a flag": (
        ["init", "numbers.csv", "--no-header=1"],
        "`--no-header` must have no value",
        "try `fastbp init --help`",
    ),
    "an encoding of an array file": (
        ["init", "x.npz", "--encoding", "utf-8"],
        "`--encoding` must be given with a file of text, such as .csv, got `x.npz`",
        "try `fastbp init --help`",
    ),
    "no header of an array file": (
        ["predict", "numbers", "x.npz", "--no-header"],
        "`--no-header` must be given with a file of text, such as .csv, got `x.npz`",
        "try `fastbp predict --help`",
    ),
    "a typing error in a file's name": (
        ["init", "nunbers.csv"],
        "nunbers.csv: must be a file, but does not exist",
        "hint: did you mean `numbers.csv`?",
    ),
    "an address": (
        ["init", "https://x.org/t.csv"],
        "https://x.org/t.csv: must be a file, but does not exist",
        "hint: download it first",
    ),
    "no configuration": (
        ["check"],
        "a configuration must be given, such as `fastbp check config.yaml`",
        "try `fastbp check --help`",
    ),
    "two configurations": (
        ["train", "numbers.yaml", "classes.yaml"],
        "`fastbp train` must have `CONFIG` as its only argument, got `classes.yaml` too",
        None,
    ),
    "a table for a configuration": (
        ["train", "numbers.csv"],
        "numbers.csv: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got `.csv`",
        "hint: `fastbp init numbers.csv` writes a configuration for a table",
    ),
    "a table to show": (
        ["show", "numbers.csv"],
        "`numbers.csv` must be a run's folder, a configuration or a network, but is a table",
        "hint: `fastbp init numbers.csv` writes a configuration for a table, and `fastbp check` shows its columns",
    ),
    "a picture of a table": (
        ["show", "classes.csv", "--graph", "net.svg"],
        "`classes.csv` must be a run's folder, a configuration or a network, but is a table",
        "hint: `fastbp init classes.csv` writes a configuration for a table, and `fastbp check` shows its columns",
    ),
    "a run for a configuration": (
        ["train", "numbers"],
        "numbers: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got ``",
        "hint: the configuration of that run is `numbers/config.yaml`; `--resume numbers` goes on with it",
    ),
    "an argument of none": (["doctor", "me"], "`fastbp doctor` must have no argument, got `me`", None),
    "no files": (
        ["predict", "numbers"],
        "`FILES` must be given, as in `fastbp predict MODEL FILES`",
        "try `fastbp predict --help`",
    ),
    "the table first": (
        ["predict", "numbers.csv", "numbers"],
        "`numbers.csv` must be a valid safetensors file (Error while deserializing: header too large)",
        "hint: the network, or the folder of its run, comes before the tables",
    ),
    "the configuration for the network": (
        ["evaluate", "numbers.yaml", "numbers.csv"],
        "`numbers.yaml` must be a valid safetensors file (Error while deserializing: header too large)",
        "hint: `fastbp train numbers.yaml` trains a network; its run's folder is named here",
    ),
    "probabilities of numbers": (
        ["predict", "numbers", "numbers.csv", "--probabilities"],
        "`--probabilities` must be given for classes or labels, but `numbers` predicts numbers",
        "try `fastbp predict --help`",
    ),
    "a positive number": (
        ["evaluate", "numbers", "--positive", "3"],
        "`--positive` must be given for classes, but `numbers` predicts numbers",
        "try `fastbp evaluate --help`",
    ),
    "the table of another run": (
        ["predict", "numbers", "classes.csv"],
        "classes.csv: there must be a column `a`, got `x`, `y`",
        None,
    ),
    "rows without a target": (
        ["check", "numbers.yaml", "--set", "data.path=holes.csv"],
        "holes.csv:3: target `y` must have a value",
        "hint: `data.missing_target: drop` leaves out rows without one",
    ),
    "nothing to predict from": (
        ["check", "classes.yaml", "--set", "data.columns.x=ignore"],
        "classes.csv: there must be a column to predict from, got only `x` (ignore)",
        None,
    ),
    "constants to predict from": (
        ["check", "numbers.yaml", "--set", "data.path=same.csv"],
        "same.csv: there must be a column to predict from, got only `a` (always 1)",
        None,
    ),
    "an option before the command": (
        ["--verison"],
        "an option before the command must be `--version` or `--help`, got `--verison`",
        None,
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, configurations, and a run on one of them."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "numbers.csv").write_text("a,y\n" + "".join(f"{i / 8},{i * i / 7:.3f}\n" for i in range(40)))
    (folder / "holes.csv").write_text("a,y\n1,2.5\n2,\n" + "".join(f"{i},{i}.5\n" for i in range(40)))
    (folder / "same.csv").write_text("a,y\n" + "".join(f"1,{i}.5\n" for i in range(40)))
    (folder / "classes.csv").write_text("x,y\n" + "".join(f"{i / 8},{'uv'[i % 2]}\n" for i in range(40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("numbers", "classes"):
            Path(f"{name}.yaml").write_text(f"data: {{path: {name}.csv, target: y}}\ntrainer: {{epochs: 1}}\n")
        assert main(["train", "numbers.yaml", "--run-dir", "numbers", "-q"]) == 0
    return folder


@pytest.mark.parametrize(("arguments", "sentence", "more"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_with_what_to_do(folder, monkeypatch, arguments, sentence, more, capsys):
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert main(arguments) in (2, 3)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"fastbp: {sentence}", *([more] if more else [])]
