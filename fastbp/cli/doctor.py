"""`fastbp doctor`."""

from __future__ import annotations

import click

from fastbp.cli.output import print_json, say, table


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Tell what fastbp sees of this machine, and how fast it is."""
    from fastbp.runs.machine import findings

    found = findings()
    if as_json:
        print_json(found)
        return
    say(table([[name.replace("_", " "), str(value)] for name, value in found.items()], right=False))
