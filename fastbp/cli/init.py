"""`fastbp init`."""

from __future__ import annotations

from pathlib import Path

import click

from fastbp.cli.options import Command, no_header_option, refuse_dialect, seconds_of, tables_by_options
from fastbp.cli.output import give, say
from fastbp.writing import whole


@click.command("init", cls=Command)
@click.argument("data")
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="COLUMN",
    help="Column to predict, several times for several; by default the last one, or `y`.",
)
@click.option(
    "-o", "--output", default="config.yaml", show_default=True, metavar="FILE", help="Where to; `-` is stdout."
)
@click.option("--delimiter", help="Field delimiter of .csv files; by default found out.")
@click.option("--encoding", help="Encoding of .csv files, such as latin-1.")
@no_header_option
@click.option("--preset", metavar="NAME", help="Write what this preset is for DATA; `fastbp presets` lists them.")
@click.option(
    "--time-limit", metavar="TIME", help="Write what uses this time, such as 10m: by default the preset thorough."
)
@click.option(
    "--max-memory", metavar="SIZE", help="Memory that it may take, such as 1GB: then some rows are looked at."
)
def command(
    data: str,
    targets: tuple[str, ...],
    output: str,
    delimiter: str | None,
    encoding: str | None,
    no_header: bool,
    preset: str | None,
    time_limit: str | None,
    max_memory: str | None,
) -> None:
    """Read DATA, a table, and write a commented configuration to start from; says what is not certain."""
    from fastbp.errors import escaped
    from fastbp.runs.passes import Passes
    from fastbp.runs.starter import starter
    from fastbp.train.progress import Progress

    refuse_dialect(delimiter, encoding, no_header, [data])
    if time_limit is not None:
        seconds_of(time_limit)
        preset = preset or "thorough"
    with tables_by_options():
        told = Passes(Progress())
        start = starter(data, targets, delimiter, encoding, not no_header, preset, time_limit, max_memory, told)
    if output != "-" and Path(output).exists():
        raise click.UsageError(f"`--output` must not exist yet, got `{output}`")
    for doubt in start.doubts:
        say(f"not certain: {doubt}", err=True)
    if output == "-":
        give(start.text)
        return
    with whole(output) as file:
        file.write(start.text.encode())
    output = escaped(output)
    say(f"wrote {output}; `fastbp check {output}` checks it, `fastbp train {output}` runs it", err=True)
