"""The tables of the README: a section for each kind of machine, between markers, written by `python -m bench --report`.

    <!-- bench of Intel -->
    ...
    <!-- end of bench of Intel -->

A report replaces the section of its own kind and no other; the first of a new kind goes behind the last section.
"""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
SECTION = re.compile(r"<!-- bench of (?P<kind>[^>]+?) -->\n.*?<!-- end of bench of (?P=kind) -->\n", re.DOTALL)


class MarkersError(Exception):
    """The README has no place for a report."""


def section(kind: str, text: str) -> str:
    """The text between the markers of this kind of machine."""
    return f"<!-- bench of {kind} -->\n{text.strip()}\n<!-- end of bench of {kind} -->\n"


def rewritten(readme: str, kind: str, text: str) -> str:
    """The README with this text in the section of this kind.

    >>> old = section("AMD", "fast") + "more"
    >>> rewritten(old, "Intel", "faster").splitlines()[2:5]
    ['<!-- end of bench of AMD -->', '', '<!-- bench of Intel -->']
    """
    found = list(SECTION.finditer(readme))
    opened = re.findall(r"<!-- bench of ([^>]+?) -->", readme)
    if not found or opened != [one["kind"] for one in found] or len(set(opened)) < len(opened):
        raise MarkersError("`README.md` must have sections from `<!-- bench of X -->` to `<!-- end of bench of X -->`")
    for one in found:
        if one["kind"] == kind:
            return readme[: one.start()] + section(kind, text) + readme[one.end() :]
    end = found[-1].end()
    return f"{readme[:end]}\n{section(kind, text)}{readme[end:]}"


def write(kind: str, text: str) -> None:
    """Write a report into the README."""
    README.write_text(rewritten(README.read_text(encoding="utf-8"), kind, text), encoding="utf-8")
