"""Options that several commands have, and reading the configuration that they name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from fastbp.config.text import Text, merge, override, read

Command = Callable[..., Any]


def config_options(function: Command) -> Command:
    """CONFIG, -c and --set."""
    for decorate in (
        click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Set one key; wins over files."),
        click.option(
            "-c", "--config", "more", multiple=True, metavar="FILE", help="A further file, laid over those before it."
        ),
        click.argument("config", required=False),
    ):
        function = decorate(function)
    return function


def output_options(function: Command) -> Command:
    """--json, -q and -v."""
    for decorate in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
    ):
        function = decorate(function)
    return function


def read_config(config: str | None, more: tuple[str, ...], overrides: tuple[str, ...]) -> Text:
    """The files laid over each other from left to right, then --set."""
    files = [*([config] if config else []), *more]
    if not files:
        raise click.UsageError("a configuration must be given, such as `fastbp train config.yaml`, got none")
    text = read(files[0])
    for file in files[1:]:
        text = merge(text, read(file))
    for expression in overrides:
        text = merge(text, override(expression))
    return text


def print_json(data: Any) -> None:
    """One object, numbers that are not finite as null."""
    from fastbp.runs.folder import _finite

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return _finite(value)

    click.echo(json.dumps(clean(data)))


def table(rows: list[list[str]], right: bool = True) -> str:
    """Columns side by side, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) if right else c.ljust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
