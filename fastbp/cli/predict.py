"""`fastbp predict`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastbp.cli.options import Command, refuse_dialect, table_options, table_settings, tables_by_options
from fastbp.cli.output import give
from fastbp.writing import whole

if TYPE_CHECKING:
    from fastbp.runs.streaming import Blocks

KINDS = (".csv", ".jsonl", ".npz", ".parquet", ".arrow")


@click.command("predict", cls=Command)
@click.argument("model")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=f"Output file, {', '.join(KINDS[:-1])} or {KINDS[-1]}; by default, and for -, CSV on stdout.",
)
@click.option("--probabilities", is_flag=True, help="Add a column with the probability of each class.")
@click.option(
    "--keep", is_flag=True, help="Repeat the table's own columns, as they are but in UTF-8, before the predictions."
)
@table_options
@click.option(
    "--max-memory", metavar="SIZE", help="Memory that it may take, such as 1GB; tables that need more are streamed."
)
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
    quote_formulas: bool,
    delimiter: str | None,
    encoding: str | None,
    no_header: bool,
    strict: bool,
    max_memory: str | None,
) -> None:
    """Predict the rows of FILES, - for stdin, with MODEL, a network, an ensemble or a run's folder.

    The tables are raw, as in training; they need no target columns. Names of columns and classes are written as they
    are in the tables: use --quote-formulas before opening predictions for untrusted tables in a spreadsheet.
    """
    from fastbp.runs.prediction import model_at, settings_of
    from fastbp.runs.streaming import Blocks, streaming
    from fastbp.runs.tables import Predictions

    output = None if output == "-" else output
    _check_output(output, (model, *files), quote_formulas)
    refuse_dialect(delimiter, encoding, no_header, files)
    found = model_at(model)
    if probabilities and found.recipe.outputs.task == "numbers":
        raise click.UsageError(f"`--probabilities` must be given for classes or labels, but `{model}` predicts numbers")
    settings = table_settings(settings_of(model)[0], delimiter, encoding, no_header)
    with tables_by_options():
        some = streaming(found, files, settings, max_memory)
        if some is not None:
            _stream(Blocks(found, some, settings, keep, probabilities, strict), output, quote_formulas)
            return
        frame = found.read(files, settings, keep)
        table = Predictions(found.predict(frame, probabilities, strict), frame.written)
    if output is None:
        for text in table.csv(quote_formulas):
            give(text)
        return
    with whole(output) as file:
        if output.endswith(".npz"):
            import numpy as np

            np.savez(file, **table.arrays())  # type: ignore[arg-type]
        elif output.endswith(".parquet"):
            table.frame().write_parquet(file)
        elif output.endswith(".arrow"):
            table.frame().write_ipc(file)
        else:
            for text in table.jsonl() if output.endswith(".jsonl") else table.csv(quote_formulas):
                file.write(text.encode())


def _stream(found: Blocks, output: str | None, quote_formulas: bool) -> None:
    """Write predictions as they come."""
    from fastbp.runs.streaming import csv, jsonl, write_typed

    if output is None:
        for text in csv(found, quote_formulas):
            give(text)
        return
    with whole(output) as file:
        if output.endswith((".npz", ".parquet", ".arrow")):
            write_typed(found, file, Path(output).suffix)
        else:
            for text in jsonl(found) if output.endswith(".jsonl") else csv(found, quote_formulas):
                file.write(text.encode())


def _check_output(output: str | None, read: tuple[str, ...], quote_formulas: bool) -> None:
    """Refuse outputs that cannot be written, or that would overwrite an input."""
    if output is None:
        return
    if not output.endswith(KINDS):
        known = ", ".join(f"`{kind}`" for kind in KINDS[:-1])
        raise click.UsageError(f"`--output` must end in {known} or `{KINDS[-1]}`, got `{output}`")
    if output.endswith(KINDS[3:]):
        _needs_polars(output)
    if quote_formulas and not output.endswith(".csv"):
        raise click.UsageError(f"`--quote-formulas` must be given with CSV only, got `--output` `{output}`")
    if os.path.exists(output) and any(p.exists() and os.path.samefile(p, output) for p in _inputs(read)):
        raise click.UsageError(f"`--output` must not be one of the input files, got `{output}`")


def _inputs(read: tuple[str, ...]) -> Iterator[Path]:
    """The files that will be read."""
    for name in read:
        path = Path(name)
        if path.is_dir():
            yield from path.iterdir()
        elif path.exists():
            yield path
        else:
            yield from map(Path, glob.glob(name, recursive=True))


def _needs_polars(output: str) -> None:
    """Refuse a format that cannot be written here."""
    from fastbp.errors import DependencyError

    try:
        import polars  # noqa: F401
    except ImportError:
        raise DependencyError(
            f"{output}: Parquet and Arrow files need Polars, which is not installed",
            hint='pip install "fastbp[tables]"',
        ) from None
