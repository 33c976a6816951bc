"""`fastbp export`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from fastbp.cli.options import Command
from fastbp.cli.output import give, say


@click.command("export", cls=Command)
@click.argument("model")
@click.argument("file")
@click.option(
    "--jacobian", is_flag=True, help="Derivatives in the inputs too: for ONNX as files beside it, for CasADi."
)
@click.option("--opset", type=int, metavar="N", help="Version of ONNX's operators, by default 17.")
@click.option("--no-preprocessing", is_flag=True, help="The network alone, without what prepares raw tables for it.")
@click.option(
    "--numbers", multiple=True, metavar="COLUMN", help="Column of categories that is given as numbers, not texts."
)
@click.option("--name", metavar="NAME", help="What names in C begin with, by default that of the file.")
@click.option("--casadi", is_flag=True, help="Functions in C by which CasADi calls the network and its derivatives.")
@click.option("--title", metavar="TEXT", help="What a page is called, by default as its file.")
@click.option(
    "--ranges",
    type=(str, float, float),
    multiple=True,
    metavar="COLUMN LOW HIGH",
    help="Between what a column of numbers is moved on a page; by default what training has seen of it.",
)
def command(model: str, file: str, **options: Any) -> None:
    """Write MODEL, a network, an ensemble or a run's folder, as FILE, whose ending says what it becomes.

    .onnx is ONNX, .c C99, .js, .mjs and .cjs JavaScript, .html a page, .safetensors tensors of PyTorch.
    """
    import fastbp.export
    from fastbp.errors import CheckpointError, escaped
    from fastbp.export.writers import WRITERS
    from fastbp.runs.loading import load
    from fastbp.runs.prediction import file_of, instead

    writer = WRITERS.get(Path(file).suffix)
    if writer is None:
        raise click.UsageError(f"`FILE` must end in {_listed(WRITERS)}, got `{file}`")
    given = {name: value for name, value in options.items() if value not in (None, False, ())}
    for name in given:
        if name not in writer.options:
            endings = [ending for ending, other in WRITERS.items() if name in other.options]
            raise click.UsageError(
                f"`--{name.replace('_', '-')}` must be given with a file that ends in {_listed(endings)}, got `{file}`"
            )
    if given.pop("no_preprocessing", False):
        given["preprocessing"] = False
    if "ranges" in given:
        given["ranges"] = {column: (low, high) for column, low, high in given["ranges"]}
    source = file_of(model)
    try:
        found = load(source)
    except CheckpointError as error:
        raise error.at(hint=instead(source) or error.hint) from None
    written = getattr(fastbp.export, writer.name)(found, file, **given)
    if isinstance(written, str):  # a program that reads the file
        give(written)
        written = [file]
    for path in written:
        say(f"wrote {escaped(str(path))}, {Path(path).stat().st_size:,} bytes", err=True)


def _listed(endings: Iterable[str]) -> str:
    *others, last = (f"`{ending}`" for ending in endings)
    return f"{', '.join(others)} or {last}" if others else last
