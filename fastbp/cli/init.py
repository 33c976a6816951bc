"""`fastbp init`."""

from __future__ import annotations

from pathlib import Path

import click

from fastbp.cli.output import give, say
from fastbp.writing import whole


@click.command("init")
@click.argument("data")
@click.option("-t", "--target", help="Column to predict; by default the last one, or `y`.")
@click.option(
    "-o", "--output", default="config.yaml", show_default=True, metavar="FILE", help="Where to; `-` is stdout."
)
@click.option("--delimiter", help="Field delimiter of .csv files; by default found out.")
@click.option("--encoding", help="Encoding of .csv files, such as latin-1.")
def command(data: str, target: str | None, output: str, delimiter: str | None, encoding: str | None) -> None:
    """Read DATA, a table, and write a commented configuration to start from."""
    from fastbp.errors import escaped
    from fastbp.runs.starter import starter

    text = starter(data, target, delimiter, encoding)
    if output == "-":
        give(text)
        return
    if Path(output).exists():
        raise click.UsageError(f"`--output` must not exist yet, got `{output}`")
    with whole(output) as file:
        file.write(text.encode())
    output = escaped(output)
    say(f"wrote {output}; `fastbp check {output}` checks it, `fastbp train {output}` runs it", err=True)
