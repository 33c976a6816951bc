"""What the page of exports says of C is what it prints."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.export.c_compiled import COMPILERS

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
_, _, BEHIND = PAGE.read_text(encoding="utf-8").partition("\n## C\n")
SECTION = BEHIND.partition("\n## ")[0]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```\n", SECTION, re.DOTALL)
needs_gcc = pytest.mark.skipif("gcc" not in COMPILERS, reason="no gcc on this machine")


def blocks(language):
    return [text for kind, text in BLOCKS if kind == language]


@needs_gcc
def test_the_first_program_writes_a_file_that_proves_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    command = blocks("sh")[0]
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    said, header, differs = blocks("text")[:3]
    assert done.stdout == said
    assert header in Path("wing.h").read_text()
    text = Path("wing.c").read_text()
    begin = text.index("{", text.index("p_0_weight["))
    number = re.search(r"-?\d\.\d+", text[begin:])
    place = begin + number.end() - 1
    Path("wing.c").write_text(text[:place] + str((int(text[place]) + 4) % 10) + text[place + 1 :])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[: len(differs)]) == (1, differs)


@needs_gcc
def test_casadi_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    pytest.importorskip("casadi")
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[1], {})
    assert capsys.readouterr().out == blocks("text")[4]
