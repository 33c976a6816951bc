"""`fastbp gradcheck`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command, config_options, json_option, quiet_option, read_config, refuse_beside
from fastbp.cli.output import print_json, say, table


@click.command("gradcheck", cls=Command)
@config_options
@click.option(
    "--rows", type=click.IntRange(1), default=32, show_default=True, help="Number of training rows in the loss."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0.0),
    default=1e-6,
    show_default=True,
    help="Largest relative difference accepted.",
)
@json_option
@quiet_option
def command(
    config: str | None,
    more: tuple[str, ...],
    overrides: tuple[str, ...],
    rows: int,
    tolerance: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compare the gradients of CONFIG's network with central differences of its loss, in float64.

    Each parameter array is moved along random directions; the difference is measured against the gradient's size. Exits
    with 1 if one exceeds the tolerance.
    """
    from fastbp.config.build import plan_of
    from fastbp.runs.gradients import gradient_check

    if as_json:
        refuse_beside("--json", quiet=quiet)
    found = gradient_check(plan_of(read_config(config, more, overrides)), rows)
    worst = max(check.error for check in found)
    if as_json:
        print_json({"passed": worst <= tolerance, "worst": worst, "parameters": [check._asdict() for check in found]})
    elif not quiet:
        rows_ = [["parameter", "shape", "analytic", "numerical", "error"]]
        for c in found:
            shape = "x".join(map(str, c.shape))
            rows_.append([c.name, shape, f"{c.analytic:.9g}", f"{c.numerical:.9g}", f"{c.error:.2e}"])
        say(table(rows_))
        say(f"\nlargest error {worst:.2e}, {'within' if worst <= tolerance else 'beyond'} {tolerance:g}")
    return 0 if worst <= tolerance else 1
