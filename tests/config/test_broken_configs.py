"""Broken configurations: each is answered with one sentence, word for word, and nothing else happens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.cli.main import main
from fastbp.config.describe import keys
from fastbp.config.schema import SECTIONS
from tests.config import (
    broken_data,
    broken_files,
    broken_formulas,
    broken_layers,
    broken_losses,
    broken_network,
    broken_optimizers,
    broken_pack,
    broken_sections,
    broken_sweep,
    broken_toml_json,
    broken_trainer,
    broken_wiring,
)

TABLES = (
    broken_files,
    broken_toml_json,
    broken_sections,
    broken_data,
    broken_network,
    broken_layers,
    broken_formulas,
    broken_trainer,
    broken_optimizers,
    broken_losses,
    broken_wiring,
    broken_pack,
    broken_sweep,
)
CASES = {
    f"{table.__name__.rpartition('.')[2].removeprefix('broken_')}: {name}": case
    for table in TABLES
    for name, case in table.CASES.items()
}


KEYS = {key.path.split(".")[0] for key in keys()} | {key.split(".")[0] for key in SECTIONS}


def written(folder, text, message):
    """The file of a case, whose name the message begins with."""
    name = message.split(":")[0]
    if name.endswith(".toml"):
        pytest.importorskip("tomllib")
    (folder / name).write_bytes(text.encode())
    return name


@pytest.mark.parametrize("case", CASES)
def test_a_broken_config_is_answered_with_one_sentence(case, tmp_path, monkeypatch, capsys):
    text, message = CASES[case]
    monkeypatch.chdir(tmp_path)
    assert main(["check", written(tmp_path, text, message)]) == 2
    out, err = capsys.readouterr()
    assert err == f"fastbp: {message}\n"
    assert out == ""


@pytest.mark.parametrize("case", CASES)
def test_its_fields_are_the_parts_of_the_sentence(case, tmp_path, monkeypatch, capsys):
    text, message = CASES[case]
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr("fastbp.cli.main.code_of", seen.append)
    main(["check", written(tmp_path, text, message)])
    (error,) = seen
    first, *hints = message.split("\n")
    assert error.hint == (hints[0].removeprefix("hint: ") if hints else None)
    where, got = f"`{error.where}` " if error.where else "", f", got {error.got}" if error.got else ""
    assert first == f"{error.place}: {where}{error.must}{got}"
    assert ", got " not in error.must
    # In front of a name of Python's stands the key that it is within.
    assert error.where is None or error.where.split(".")[0].split("[")[0] in KEYS or error.place.endswith("`")


@pytest.mark.parametrize(
    "case", ["files: cycle", "toml_json: JSON, key twice", "data: source misspelt", "optimizers: lr zero"]
)
@pytest.mark.parametrize("command", ["check", "train"])
def test_so_it_is_in_a_process_of_its_own(case, command, tmp_path):
    text, message = CASES[case]
    name = written(tmp_path, text, message)
    run = subprocess.run(
        [sys.executable, "-m", "fastbp", command, name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"fastbp: {message}\n")
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("case", CASES)
def test_a_message_has_the_house_style(case):
    sentence, *hints = CASES[case][1].split("\n")
    place, _, said = sentence.partition(": ")
    file, _, line = place.partition(":")
    assert file in ("c.yaml", "c.toml", "c.json")
    assert line.isdecimal()
    assert said.startswith(("`", "a config "))
    assert " must " in said
    assert not said.endswith((".", "!"))
    assert all(hint.startswith("hint: ") for hint in hints)
    assert len(hints) <= 1


def test_there_are_hundreds_of_them():
    assert len(CASES) == sum(len(table.CASES) for table in TABLES) > 400


@pytest.mark.parametrize("path", [key.path for key in keys()])
def test_every_key_is_broken_in_some_case(path):
    assert any(f"`{path}{end}" in message for _, message in CASES.values() for end in ("`", ".", "["))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_an_unknown_key_in_some_case(section):
    said = f"`{section}` must have known keys only" if section else ": a config must have known keys only"
    assert any(said in message for _, message in CASES.values())
