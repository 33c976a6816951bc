"""`fastbp presets`."""

from __future__ import annotations

import click

from fastbp.cli.options import Command, json_option
from fastbp.cli.output import print_json, say, table


@click.command("presets", cls=Command)
@json_option
def command(as_json: bool) -> None:
    """List the presets, which a configuration names as `preset: NAME`, or `fastbp train CONFIG --preset NAME`."""
    from fastbp.config.presets import presets

    if as_json:
        print_json({name: preset.about for name, preset in presets().items()})
        return
    say(table([[name, preset.about] for name, preset in presets().items()], right=False))
