"""`fastbp bench`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command
from fastbp.cli.output import print_json, say, table


@click.command("bench", cls=Command)
@click.option("--threads", type=click.IntRange(1, 256), help="By default as many as the process has processors.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.0, 3600.0, min_open=True),
    default=0.3,
    show_default=True,
    help="For each case and contender.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(threads: int | None, seconds: float, as_json: bool) -> None:
    """Time training steps against the same mathematics in plain NumPy.

    Both first take the same steps from the same parameters, and are timed only if they agree. `python -m bench` in the
    repository compares with PyTorch and JAX as well.
    """
    from fastbp.runs.speed import measure

    found = measure(threads, seconds)
    if as_json:
        print_json({"cases": [case._asdict() for case in found]})
        return
    rows = [["net, batch", "fastbp µs", "GFLOP/s", "NumPy µs", "NumPy/fastbp"]]
    for case in found:
        ours, theirs = f"{case.microseconds:.1f}", f"{case.numpy_microseconds:.1f}"
        rows.append([case.name, ours, f"{case.gflops:.0f}", theirs, f"{case.ratio:.1f}"])
    say(table(rows))
