"""Output of commands.

say      text for people, with control characters escaped
give     text for programs: exact in a file or a pipe, escaped on a terminal
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from fastbp.errors import escaped
from fastbp.writing import naming


def say(text: str, err: bool = False) -> None:
    """Print lines for people; control characters are escaped."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    lines = "\n".join(escaped(line) for line in text.split("\n"))
    with naming("stderr" if err else "stdout"):
        click.echo(lines.encode(encoding, "backslashreplace").decode(encoding), err=err)


def give(text: str) -> None:
    """Print whole lines for a program."""
    if sys.stdout is not None and sys.stdout.isatty():
        say(text.replace("\r\n", "\n").removesuffix("\n"))
    else:  # as bytes, since click takes colours out of strings
        with naming("stdout"):
            click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def print_json(data: Any) -> None:
    """One object; numbers that are not finite become null."""
    from fastbp.runs.folder import _finite

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return _finite(value)

    give(json.dumps(clean(data)) + "\n")


def table(rows: list[list[str]], right: bool = True) -> str:
    """Columns side by side, the first aligned left, the others right."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) if right else c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def layer_rows(layers: Sequence[Any]) -> list[list[str]]:
    """Layers of an outline as rows of a table; where they are no chain, with what each reads."""
    branched = any(layer.reads for layer in layers)
    rows = [["layer", *(["from"] if branched else []), "in", "out", "parameters"]]
    for layer in layers:
        reads = [", ".join(layer.reads)] if branched else []
        rows.append(
            [f"{layer.name} {layer.layer}", *reads, str(layer.inputs), str(layer.outputs), f"{layer.parameters:,}"]
        )
    return rows
