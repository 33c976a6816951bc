"""What the page of exports says of a run of `configs/loans.yaml` is what comes out of it."""

import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from tests.export.c_compiled import COMPILERS
from tests.export.node import NODE, needs_node

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
ROW = {"age": [49], "income": [45.6], "job": ["teacher"], "city": ["Vejle"], "loan": [14.8]}


def blocks(heading):
    """Language and text of each block below a heading."""
    _, _, behind = PAGE.partition(f"\n{heading}\n")
    return re.findall(r"```(\w+)\n(.*?)```\n", re.split(r"\n##+ ", behind)[0], re.DOTALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    (path / "configs").symlink_to(ROOT / "configs")
    return path


@pytest.fixture
def here(trained, monkeypatch, capsys):
    """A folder with what the commands above the program in C have made."""
    monkeypatch.chdir(trained)
    train, export = blocks("### A row of a table")[0][1].splitlines()
    for line in [export] if Path("run").exists() else [train, export]:
        assert main(shlex.split(line)[1:]) == 0
    capsys.readouterr()
    return trained


@pytest.mark.skipif("gcc" not in COMPILERS, reason="no gcc on this machine")
def test_the_program_in_c_says_what_the_run_says(here):
    _, (_, program), (_, command), (_, said) = blocks("### A row of a table")
    Path("main.c").write_text(program)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == said
    found = fb.load("run").predict(ROW, probabilities=True)
    assert said == f"{found['repaid'][0]} {found['repaid = yes'][0]:.4f}\n"


@needs_node
def test_the_program_in_javascript_says_what_the_run_says(here):
    *_, (_, program), (_, said) = blocks("## JavaScript")
    assert main(["export", "run", "loans.mjs"]) == 0
    Path("main.mjs").write_text(program)
    done = subprocess.run([NODE, "main.mjs"], capture_output=True, text=True, check=True)
    number = r"-?\d+\.\d+(?:e-\d+)?"
    assert re.sub(number, "", done.stdout) == re.sub(number, "", said)  # the last digits are those of the machine's exp
    numbers = [np.array(re.findall(number, text), np.float64) for text in (done.stdout, said)]
    np.testing.assert_allclose(*numbers, rtol=1e-12)
    found = fb.load("run").predict(ROW | {"loan": [np.nan]}, probabilities=True)
    np.testing.assert_allclose(numbers[1][:2], [found[f"repaid = {name}"][0] for name in ("no", "yes")], rtol=1e-5)


def test_the_command_writes_a_page(here):
    (_, command), *_ = blocks("## A page")
    assert main(shlex.split(command)[1:]) == 0
    assert "<title>Is it repaid</title>" in Path("loans.html").read_text()
