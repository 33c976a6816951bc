"""`fastbp schema`."""

from __future__ import annotations

import json

import click

from fastbp.cli.options import Command
from fastbp.cli.output import give


@click.command("schema", cls=Command)
def command() -> None:
    """Print the JSON schema of configurations.

    For an editor's YAML extension, begin a file with `# yaml-language-server: $schema=fastbp.schema.json`.
    """
    from fastbp.config.describe import json_schema

    give(json.dumps(json_schema(), indent=2) + "\n")
