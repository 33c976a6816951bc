"""The programs of docs/sklearn.md print what stands below them, and the README's."""

import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("polars")

ROOT = Path(__file__).parents[2]
PROGRAM = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n((?:(?!```).)*)```", re.DOTALL)
PAGES = {"docs/sklearn.md": None, "README.md": "fastbp.sklearn"}
CASES = [
    pytest.param(program, shown, id=f"{page} {i}")
    for page, part in PAGES.items()
    for i, (program, shown) in enumerate(PROGRAM.findall((ROOT / page).read_text()))
    if part is None or part in program
]


@pytest.mark.parametrize(("program", "shown"), CASES)
def test_a_program_of_a_page_prints_what_stands_below_it(program, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "page", "exec"), {})
    assert capsys.readouterr().out == shown


def test_both_pages_have_programs():
    assert len(CASES) == 7
