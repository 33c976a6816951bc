"""What commands print and write.

say      text for people, in which a terminal finds nothing to act on
give     text for programs: exact in a file or a pipe, and on a terminal as `say` writes it
whole    a file that is there as a whole or not at all
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click

from fastbp.errors import escaped


def say(text: str, err: bool = False) -> None:
    """Print lines for people, and what their terminal cannot show as escapes."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    lines = "\n".join(escaped(line) for line in text.split("\n"))
    click.echo(lines.encode(encoding, "backslashreplace").decode(encoding), err=err)


def give(text: str) -> None:
    """Print whole lines for a program."""
    if sys.stdout.isatty():
        say(text.removesuffix("\n"))
    else:  # as bytes, since click takes colours out of strings
        click.echo(text.encode("utf-8", "backslashreplace"), nl=False)


def print_json(data: Any) -> None:
    """One object, numbers that are not finite as null."""
    from fastbp.runs.folder import _finite

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return _finite(value)

    give(json.dumps(clean(data)) + "\n")


def table(rows: list[list[str]], right: bool = True) -> str:
    """Columns side by side, the first to the left, the others to the right."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) if right else c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@contextlib.contextmanager
def whole(path: str) -> Iterator[BinaryIO]:
    """A file to write, which takes its place in one move; where anything goes wrong, what was there stays."""
    from fastbp.model.sealed import temporary

    place = os.path.realpath(path)  # a link stays a link
    special = os.path.exists(place) and not os.path.isfile(place)  # a pipe, say
    name = place if special else str(temporary(Path(place)))
    try:
        with open(name, "wb" if special else "xb") as file:
            yield file
            if not special:
                file.flush()
                os.fsync(file.fileno())
        if not special:
            os.replace(name, place)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        if not special:
            with contextlib.suppress(OSError):  # it has moved
                os.unlink(name)
