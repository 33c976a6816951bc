"""Options shared by several commands, and reading their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fastbp.config.text import Text, merge, override, read

Command = Callable[..., Any]


def config_options(function: Command) -> Command:
    """CONFIG, -c and --set."""
    for decorate in (
        click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Set one key; overrides files."),
        click.option(
            "-c", "--config", "more", multiple=True, metavar="FILE", help="Another file, merged over those before it."
        ),
        click.argument("config", required=False),
    ):
        function = decorate(function)
    return function


def output_options(function: Command) -> Command:
    """--json, -q and -v."""
    for decorate in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
    ):
        function = decorate(function)
    return function


def read_config(config: str | None, more: tuple[str, ...], overrides: tuple[str, ...]) -> Text:
    """The files merged from left to right, then --set."""
    files = [*([config] if config else []), *more]
    if not files:
        raise click.UsageError("a configuration must be given, such as `fastbp train config.yaml`")
    text = read(files[0])
    for file in files[1:]:
        text = merge(text, read(file))
    for expression in overrides:
        text = merge(text, override(expression))
    return text


def table_options(function: Command) -> Command:
    """--delimiter, --encoding and --strict."""
    for decorate in (
        click.option(
            "--strict", is_flag=True, help="Refuse values of categories that training did not see, rather than say so."
        ),
        click.option("--encoding", help="Encoding of .csv files, such as latin-1; by default as in training."),
        click.option("--delimiter", help="Field delimiter of .csv files; by default as in training, or found out."),
    ):
        function = decorate(function)
    return function


def table_settings(settings: dict[str, Any], delimiter: str | None, encoding: str | None) -> dict[str, Any]:
    """How tables are read, with what the command line says of it."""
    given = {"delimiter": delimiter, "encoding": encoding}
    return {**settings, **{key: value for key, value in given.items() if value}}
