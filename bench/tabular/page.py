"""The table of docs/accuracy.md, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
BEGIN, END = "<!-- measured: python -m bench tabular --report -->\n", "<!-- end of what is measured -->\n"


def write(head: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put a table where the last one stood."""
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{page} must have `{BEGIN.strip()}` and `{END.strip()}` once")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{head}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")
