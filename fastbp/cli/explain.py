"""`fastbp explain`."""

from __future__ import annotations

import shutil
from typing import Any

import click

from fastbp.cli.options import Command, json_option, quiet_option, refuse_beside
from fastbp.cli.output import print_json, say, table

SMALL = 0.001  # importance of which four places say little


@click.command("explain", cls=Command)
@click.argument("run")
@click.argument("files", nargs=-1)
@click.option("--part", metavar="NAME", help="Rows to look at: train, validation or test, the default.")
@click.option("-m", "--metric", metavar="NAME", help="By default what the run monitors, or the first of its metrics.")
@click.option("--repeats", default=5, show_default=True, help="Shuffles of each column.")
@click.option("-d", "--dependence", "columns", multiple=True, metavar="COLUMN", help="How predictions depend on it.")
@click.option("--points", default=20, show_default=True, help="Values that it is set to, at most.")
@click.option("--rows", default=10_000, show_default=True, help="Rows to look at, at most, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffles and the rows.")
@click.option("--top", default=30, show_default=True, help="Number of columns to print, the most important ones.")
@click.option("-o", "--output", "outputs", multiple=True, metavar="FILE", help="Write to a .json, .csv or .svg file.")
@json_option
@quiet_option
@click.pass_context
def command(
    context: click.Context,
    run: str,
    files: tuple[str, ...],
    part: str | None,
    metric: str | None,
    repeats: int,
    columns: tuple[str, ...],
    points: int,
    rows: int,
    seed: int,
    top: int,
    outputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """What each column of the table is worth to RUN, a run's folder, a network or an ensemble, on its rows or FILES.

    Importance is how much worse the metric gets where the column is shuffled among the rows, ± the standard deviation
    over the shuffles. Sensitivity is the mean |∂ output / ∂ input| over rows and outputs, of inputs as the network gets
    them, most often scaled to a standard deviation of 1, and of numbers in the units of the table; ensembles have none.

    With --dependence it prints what is predicted where every row has one value of the column after another: the mean
    over the rows, the band that the middle 80 % of them are in, and how much the curves of the rows differ in shape.
    """
    from fastbp.errors import escaped
    from fastbp.runs.explain import explain, refuse_ending, save

    for path in outputs:
        refuse_ending(path)
    if files and part is not None:
        raise click.UsageError("`--part` must be left out where files are given")
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    given = {
        name: context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE for name in context.params
    }
    if columns:
        refuse_beside("--dependence", **{name: given[name] for name in ("metric", "repeats", "top")})
        from fastbp.cli.dependence import text as text_of
        from fastbp.errors import ConfigError
        from fastbp.runs.dependence import dependences_at

        try:
            found: Any = dependences_at(run, columns, part, points, seed, rows, files)
        except ConfigError as error:
            raise (error.at(where="--dependence") if error.where == "column" else error) from None
        printed = "\n\n".join(text_of(one.data(), one.shown) for one in found.each)
    else:
        if given["points"]:
            raise click.UsageError("`--points` must be given together with `--dependence`")
        found = explain(run, part, metric, repeats, seed, rows, files)
        printed = text(found.data(), max(top, 0), width)
    for path in outputs:
        save(found, path)
        if not quiet:
            say(escaped(f"wrote {path}"), err=True)
    if as_json:
        print_json(found.data())
        return
    say(printed)


def text(found: dict[str, Any], top: int, width: int) -> str:
    """A line for each column, with a bar as long as it is important."""
    from fastbp.cli.report import LONGEST, amount
    from fastbp.pictures.page import short

    shown = found["columns"][:top]
    large = any(abs(row["importance"]) >= SMALL for row in shown)
    answering = any(row["sensitivity"] is not None for row in found["columns"])
    rows = [["column", "importance", "", *(["sensitivity"] if answering else [])]]
    for row in shown:
        answer = "-" if row["sensitivity"] is None else f"{row['sensitivity']:.4g}"
        worth, spread = (amount(row[name], 0.0 if large else SMALL) for name in ("importance", "spread"))
        worth = "0.0000" if worth == "-0.0000" else worth
        answers = [answer] if answering else []
        rows.append([short(row["column"], LONGEST), worth, f"± {spread}", *answers])
    lines = table(rows).split("\n")
    wide = max(map(len, lines))
    room, most = width - wide - 2, max((row["importance"] for row in shown), default=0.0)
    drawn = [lines[0].rstrip()]
    for line, row in zip(lines[1:], shown, strict=True):
        halves = round(2 * room * max(row["importance"], 0.0) / most) if most > 0.0 and room > 4 else 0
        drawn.append(f"{line:<{wide}}  {'━' * (halves // 2)}{'╸' * (halves % 2)}".rstrip())
    shuffles = "1 shuffle" if found["repeats"] == 1 else f"{found['repeats']} shuffles"
    head = f"{found['metric']} {found['score']:.4g} on {rows_of(found)}, {shuffles} of each column"
    more = len(found["columns"]) - len(shown)
    last = [f"and {more} more column{'s' * (more > 1)}"] if more else []
    return "\n".join([head, "", *drawn, *last])


def rows_of(found: dict[str, Any]) -> str:
    """How many rows were looked at, of which part, and whether they were drawn."""
    part = "rows of files" if found["part"] == "files" else f"{found['part']} rows"
    return (
        f"{found['rows']:,} {part}" if found["rows"] == found["of"] else f"{found['rows']:,} of {found['of']:,} {part}"
    )
