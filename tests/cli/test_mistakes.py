"""Mistakes at the command line: each is one sentence, with what to do."""

import shlex
from pathlib import Path

import pytest

from fastbp.cli.main import main

# Each paragraph is a command as it is given in the folder below, and all that it prints.
MISTAKES = """
$ fastbp init
fastbp: `DATA` must be given, as in `fastbp init DATA`
try `fastbp init --help`

$ fastbp init numbers.csv classes.csv
fastbp: `fastbp init` must have `DATA` as its only argument, got `classes.csv` too
hint: several files are a folder or a pattern in quotes, such as `'parts/*.csv'`

$ fastbp init numbers.csv -t
fastbp: `-t` must have a value behind it
try `fastbp init --help`

$ fastbp init numbers.csv --no-header=1
fastbp: `--no-header` must have no value
try `fastbp init --help`

$ fastbp init x.npz --encoding utf-8
fastbp: `--encoding` must be given with a file of text, such as .csv, got `x.npz`
try `fastbp init --help`

$ fastbp predict numbers x.npz --no-header
fastbp: `--no-header` must be given with a file of text, such as .csv, got `x.npz`
try `fastbp predict --help`

$ fastbp init nunbers.csv
fastbp: nunbers.csv: must be a file, but does not exist
hint: did you mean `numbers.csv`?

$ fastbp init https://x.org/t.csv
fastbp: https://x.org/t.csv: must be a file, but does not exist
hint: download it first

$ fastbp check
fastbp: a configuration must be given, such as `fastbp check config.yaml`
try `fastbp check --help`

$ fastbp train numbers.yaml classes.yaml
fastbp: `fastbp train` must have `CONFIG` as its only argument, got `classes.yaml` too

$ fastbp train numbers.csv
fastbp: numbers.csv: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got `.csv`
hint: `fastbp init numbers.csv` writes a configuration for a table

$ fastbp show numbers.csv
fastbp: `numbers.csv` must be a run's folder, a configuration or a network, but is a table
hint: `fastbp init numbers.csv` writes a configuration for a table, and `fastbp check` shows its columns

$ fastbp show classes.csv --graph net.svg
fastbp: `classes.csv` must be a run's folder, a configuration or a network, but is a table
hint: `fastbp init classes.csv` writes a configuration for a table, and `fastbp check` shows its columns

$ fastbp train numbers
fastbp: numbers: a config must end in `.yaml`, `.yml`, `.toml` or `.json`, got ``
hint: the configuration of that run is `numbers/config.yaml`; `--resume numbers` goes on with it

$ fastbp doctor me
fastbp: `fastbp doctor` must have no argument, got `me`

$ fastbp predict numbers
fastbp: `FILES` must be given, as in `fastbp predict MODEL FILES`
try `fastbp predict --help`

$ fastbp predict numbers.csv numbers
fastbp: `numbers.csv` must be a valid safetensors file (Error while deserializing: header too large)
hint: a network, or the folder of its run, is what is named first

$ fastbp export numbers.yaml f.onnx
fastbp: `numbers.yaml` must be a valid safetensors file (Error while deserializing: header too large)
hint: `fastbp train numbers.yaml` trains a network; its run's folder is named here

$ fastbp export numbers.csv f.onnx
fastbp: `numbers.csv` must be a valid safetensors file (Error while deserializing: header too large)
hint: a network, or the folder of its run, is what is named first

$ fastbp evaluate numbers.yaml numbers.csv
fastbp: `numbers.yaml` must be a valid safetensors file (Error while deserializing: header too large)
hint: `fastbp train numbers.yaml` trains a network; its run's folder is named here

$ fastbp predict numbers numbers.csv --probabilities
fastbp: `--probabilities` must be given for classes or labels, but `numbers` predicts numbers
try `fastbp predict --help`

$ fastbp evaluate numbers --positive 3
fastbp: `--positive` must be given for classes, but `numbers` predicts numbers
try `fastbp evaluate --help`

$ fastbp explain numbers --dependence aa
fastbp: `--dependence` must be one of `a`, got `aa`
hint: did you mean `a`?

$ fastbp init commas.csv --delimiter ,
fastbp: commas.csv:2: a row must have 1 field, got 2
hint: `--delimiter` must be what divides the names of the columns, or be left out

$ fastbp predict numbers classes.csv
fastbp: classes.csv: there must be a column `a`, got `x`, `y`

$ fastbp check numbers.yaml --set data.path=holes.csv
fastbp: holes.csv:3: target `y` must have a value
hint: `data.missing_target: drop` leaves out rows without a target

$ fastbp check classes.yaml --set data.columns.x=ignore
fastbp: classes.csv: there must be a column to predict from, got only `x` (ignore)

$ fastbp check numbers.yaml --set data.path=same.csv
fastbp: same.csv: there must be a column to predict from, got only `a` (always 1)

$ fastbp --verison
fastbp: an option before the command must be `--version` or `--help`, got `--verison`

$ fastbp predict numbers soon.csv
fastbp: soon.csv:2: column `a` must be a number, got `soon`
hint: a missing number is an empty field or `NA`

$ fastbp evaluate numbers later.csv
fastbp: later.csv:2: column `y` must be a number, got `later`
hint: rows without a target must be taken out of the table

$ fastbp evaluate numbers holes.csv
fastbp: holes.csv:3: target `y` must have a value
hint: rows without a target must be taken out of the table
""".strip().split("\n\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, configurations, and a run on one of them."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "numbers.csv").write_text("a,y\n" + "".join(f"{i / 8},{i * i / 7:.3f}\n" for i in range(40)))
    (folder / "holes.csv").write_text("a,y\n1,2.5\n2,\n" + "".join(f"{i},{i}.5\n" for i in range(40)))
    (folder / "commas.csv").write_text("a;y\n1,5;2\n2,5;3\n")
    (folder / "soon.csv").write_text("a,y\nsoon,1\n")
    (folder / "later.csv").write_text("a,y\n1,later\n")
    (folder / "same.csv").write_text("a,y\n" + "".join(f"1,{i}.5\n" for i in range(40)))
    (folder / "classes.csv").write_text("x,y\n" + "".join(f"{i / 8},{'uv'[i % 2]}\n" for i in range(40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("numbers", "classes"):
            Path(f"{name}.yaml").write_text(f"data: {{path: {name}.csv, target: y}}\ntrainer: {{epochs: 1}}\n")
        assert main(["train", "numbers.yaml", "--run-dir", "numbers", "-q"]) == 0
    return folder


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.splitlines()[0] for mistake in MISTAKES])
def test_a_mistake_is_one_sentence_with_what_to_do(folder, monkeypatch, mistake, capsys):
    command, printed = mistake.split("\n", 1)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    assert main(shlex.split(command)[2:]) in (2, 3)
    assert capsys.readouterr() == ("", printed + "\n")
