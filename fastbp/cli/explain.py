"""`fastbp explain`."""

from __future__ import annotations

import shutil
from typing import Any

import click

from fastbp.cli.options import Command, json_option, quiet_option
from fastbp.cli.output import print_json, say, table


@click.command("explain", cls=Command)
@click.argument("run")
@click.option("--part", metavar="NAME", help="Rows to look at: train, validation or test, the default.")
@click.option("-m", "--metric", metavar="NAME", help="By default what the run monitors, or the first of its metrics.")
@click.option("--repeats", default=5, show_default=True, help="Shuffles of each column.")
@click.option("--seed", default=0, show_default=True, help="Of the shuffles.")
@click.option("--top", default=30, show_default=True, help="Number of columns to print, the most important ones.")
@click.option("-o", "--output", "outputs", multiple=True, metavar="FILE", help="Write to a .json, .csv or .svg file.")
@json_option
@quiet_option
def command(
    run: str,
    part: str | None,
    metric: str | None,
    repeats: int,
    seed: int,
    top: int,
    outputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """What each column of the table is worth to the network of RUN.

    Importance is how much worse the metric gets where the column is shuffled among the rows, ± the standard deviation
    over the shuffles. Sensitivity is the mean |∂ output / ∂ input| over rows and outputs, of inputs as the network gets
    them, most often scaled to a standard deviation of 1, and of numbers in the units of the table.
    """
    from fastbp.errors import escaped
    from fastbp.runs.explain import explain, refuse_ending, save

    for path in outputs:
        refuse_ending(path)
    found = explain(run, part, metric, repeats, seed)
    for path in outputs:
        save(found, path)
        if not quiet:
            say(escaped(f"wrote {path}"), err=True)
    if as_json:
        print_json(found.data())
        return
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    say(text(found.data(), max(top, 0), width))


def text(found: dict[str, Any], top: int, width: int) -> str:
    """A line for each column, with a bar as long as it is important."""
    from fastbp.cli.report import LONGEST
    from fastbp.pictures.page import short

    shown = found["columns"][:top]
    rows = [["column", "importance", "", "sensitivity"]]
    for row in shown:
        answer = "-" if row["sensitivity"] is None else f"{row['sensitivity']:.4g}"
        worth = f"{row['importance']:.4f}" if abs(row["importance"]) < 1e4 else f"{row['importance']:.3e}"
        worth = "0.0000" if worth == "-0.0000" else worth
        rows.append([short(row["column"], LONGEST), worth, f"± {row['spread']:.4f}", answer])
    lines = table(rows).split("\n")
    wide = max(map(len, lines))
    room, most = width - wide - 2, max((row["importance"] for row in shown), default=0.0)
    drawn = [lines[0].rstrip()]
    for line, row in zip(lines[1:], shown, strict=True):
        halves = round(2 * room * max(row["importance"], 0.0) / most) if most > 0.0 and room > 4 else 0
        drawn.append(f"{line:<{wide}}  {'━' * (halves // 2)}{'╸' * (halves % 2)}".rstrip())
    shuffles = "1 shuffle" if found["repeats"] == 1 else f"{found['repeats']} shuffles"
    head = (
        f"{found['metric']} {found['score']:.4g} on {found['rows']:,} {found['part']} rows, {shuffles} of each column"
    )
    more = len(found["columns"]) - len(shown)
    last = [f"and {more} more column{'s' * (more > 1)}"] if more else []
    return "\n".join([head, "", *drawn, *last])
