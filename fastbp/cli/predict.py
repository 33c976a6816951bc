"""`fastbp predict`."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fastbp.cli.options import Command
from fastbp.cli.output import give
from fastbp.writing import whole

KINDS = (".csv", ".jsonl", ".npz")
CHUNK = 10_000  # rows written at once
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # first characters that make a spreadsheet read a text as a formula


@click.command("predict", cls=Command)
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Output file, .csv, .jsonl or .npz; by default CSV on stdout.")
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of each class.")
@click.option("--keep", is_flag=True, help="Repeat the table's own columns before the predictions.")
@click.option("--delimiter", help="Field delimiter of .csv files; by default as in training.")
@click.option(
    "--quote-formulas",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that spreadsheets would run as formulas.",
)
def command(
    model: str,
    files: tuple[str, ...],
    output: str | None,
    probabilities: bool,
    keep: bool,
    delimiter: str | None,
    quote_formulas: bool,
) -> None:
    """Predict the rows of FILES with MODEL, a network or a run's folder.

    The tables are raw, as in training; they need no target columns. Names of columns and classes are written as they
    are in the tables: use --quote-formulas before opening predictions for untrusted tables in a spreadsheet.
    """
    from fastbp.runs.prediction import Model, settings_of

    _check_output(output, (model, *files), quote_formulas)
    found = Model.load(model)
    settings, _, _ = settings_of(model)
    if delimiter:
        settings["delimiter"] = delimiter
    frame = found.read(files, settings)
    columns = found.predict(frame, probabilities)
    if keep:
        own = {name: column.values for name, column in frame.columns.items()}
        columns = {**own, **{(f"predicted {k}" if k in own else k): v for k, v in columns.items()}}
    if output is None:
        for text in _csv(columns, quote_formulas):
            give(text)
        return
    with whole(output) as file:
        if output.endswith(".npz"):
            import numpy as np

            arrays: dict[str, Any] = {k: v.astype(str) if v.dtype.kind == "O" else v for k, v in columns.items()}
            np.savez(file, **arrays)
            return
        for text in _jsonl(columns) if output.endswith(".jsonl") else _csv(columns, quote_formulas):
            file.write(text.encode())


def _check_output(output: str | None, read: tuple[str, ...], quote_formulas: bool) -> None:
    """Refuse outputs that cannot be written, or that would overwrite an input."""
    if output is None:
        return
    if not output.endswith(KINDS):
        raise click.UsageError(f"`--output` must end in `.csv`, `.jsonl` or `.npz`, got `{output}`")
    if quote_formulas and not output.endswith(".csv"):
        raise click.UsageError(f"`--quote-formulas` must be given with CSV only, got `--output` `{output}`")
    paths = [p for path in map(Path, read) for p in (path.iterdir() if path.is_dir() else (path,))]
    if os.path.exists(output) and any(p.exists() and os.path.samefile(p, output) for p in paths):
        raise click.UsageError(f"`--output` must not be one of the input files, got `{output}`")


def _chunks(columns: dict[str, Any], values: Any) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows, in chunks."""
    rows = len(next(iter(columns.values())))
    for first in range(0, rows, CHUNK):
        yield zip(*(values(v[first : first + CHUNK]) for v in columns.values()), strict=True)


def _plain(values: Any) -> list[Any]:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]


def _csv(columns: dict[str, Any], quote_formulas: bool) -> Iterator[str]:
    def values(part: Any) -> list[Any]:
        found = _shortest(part)
        return [_quoted(v) for v in found] if quote_formulas and part.dtype.kind == "O" else found

    out = Lines()
    writer = csv.writer(out)
    writer.writerow([_quoted(name) for name in columns] if quote_formulas else columns)
    for rows in _chunks(columns, values):
        writer.writerows(rows)
        yield "".join(out)
        out.clear()


class Lines(list[str]):
    """Turns a CSV writer's line ends into Unix ones; a writer set to those would not quote a carriage return."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _quoted(value: Any) -> Any:
    """A text that no spreadsheet reads as a formula; numbers stay as they are."""
    if not isinstance(value, str) or not value.startswith(FORMULAS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def _shortest(values: Any) -> list[Any]:
    """Numbers in the fewest digits that read back to the same."""
    if values.dtype.kind == "f" and values.dtype.itemsize == 4:
        return [str(v) for v in values]
    return _plain(values)


def _jsonl(columns: dict[str, Any]) -> Iterator[str]:
    for rows in _chunks(columns, _plain):
        yield "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
