"""`fastbp predict`."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import click


@click.command("predict")
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Write here, a .csv, .jsonl or .npz; by default CSV on stdout.")
@click.option("--probabilities", is_flag=True, help="A column more for the probability of each class.")
@click.option("--keep", is_flag=True, help="Repeat the table's own columns before the predictions.")
@click.option("--delimiter", help="Between the fields of a .csv file; by default as in training.")
def command(
    model: str, files: tuple[str, ...], output: str | None, probabilities: bool, keep: bool, delimiter: str | None
) -> None:
    """Predict the rows of FILES with MODEL, a network or a run's folder.

    The tables are raw ones, as the run was trained on; their targets need not be there.
    """
    from fastbp.runs.prediction import Model, settings_of

    found = Model.load(model)
    settings, _, _ = settings_of(model)
    if delimiter:
        settings["delimiter"] = delimiter
    frame = found.read(files, settings)
    columns = found.predict(frame, probabilities)
    if keep:
        own = {name: column.values for name, column in frame.columns.items()}
        columns = {**own, **{(f"predicted {k}" if k in own else k): v for k, v in columns.items()}}
    if output is not None and not output.endswith((".csv", ".jsonl", ".npz")):
        raise click.UsageError(f"`--output` must end in `.csv`, `.jsonl` or `.npz`, got `{output}`")
    if output is not None and output.endswith(".npz"):
        import numpy as np

        arrays: dict[str, Any] = {k: v.astype(str) if v.dtype.kind == "O" else v for k, v in columns.items()}
        np.savez(output, **arrays)
        return
    text = _jsonl(columns) if output is not None and output.endswith(".jsonl") else _csv(columns)
    if output is None:
        click.echo(text, nl=False)
        return
    with open(output, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def _plain(values: Any) -> list[Any]:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values.tolist()]


def _csv(columns: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_shortest(v) for v in columns.values()), strict=True))
    return out.getvalue()


def _shortest(values: Any) -> list[Any]:
    """Numbers in the fewest digits that read back to the same."""
    if values.dtype.kind == "f" and values.dtype.itemsize == 4:
        return [str(v) for v in values]
    return _plain(values)


def _jsonl(columns: dict[str, Any]) -> str:
    rows = zip(*(_plain(v) for v in columns.values()), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
