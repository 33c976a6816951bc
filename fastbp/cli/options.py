"""Options shared by several commands, what commands refuse of them, and reading their configuration."""

from __future__ import annotations

import difflib
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from fastbp.config.merging import merge, overrides
from fastbp.config.text import Text, read
from fastbp.errors import ConfigError, DataWarning, FastbpError, visible
from fastbp.spec.elsewhere import hint as hint_of

Decorator = Callable[..., Any]
PATTERN = "parts/*.csv"


class Command(click.Command):
    """A command that refuses an option given twice, has a hint for one that it does not have, and names those it has.

    What it calls names arguments of Python: `rows` is `--rows` to those who typed that.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            typed, beside, order = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            raise self._no_option(ctx, error.option_name, args) from None
        except click.BadOptionUsage as error:
            takes = "a value behind it" if "requires" in error.message else "no value"
            raise click.UsageError(f"`{error.option_name}` must have {takes}", ctx) from None
        if beside and not ctx.resilient_parsing:  # as while a command is completed
            raise self._beside(ctx, beside)
        for option, count in Counter(order).items():
            if count > 1 and isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                raise click.UsageError(f"`{option.opts[-1]}` must be given once, got it {count} times", ctx)
        try:
            rest = super().parse_args(ctx, args)
        except click.MissingParameter as error:
            usage = " ".join([ctx.command_path, *self._arguments(ctx)])
            raise click.UsageError(f"`{_called(error.param)}` must be given, as in `{usage}`", ctx) from None
        except click.BadParameter as error:
            if not isinstance(error.param, click.Option):
                raise
            raise _no_value(ctx, error.param, typed.get(error.param.name or "")) from None
        for option in self.get_params(ctx):
            value = ctx.params.get(option.name or "")
            if isinstance(option, click.Option) and isinstance(value, float) and not math.isfinite(value):
                raise _no_value(ctx, option, str(value))
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            called = "--" + (error.where or "").partition("[")[0].replace("_", "-")
            for option in self.get_params(ctx):
                valued = isinstance(option, click.Option) and not option.is_flag
                if valued and called in option.opts and error.place is None:
                    raise error.at(where=called) from None
            raise

    def _arguments(self, ctx: click.Context) -> list[str]:
        return [_called(p) for p in self.get_params(ctx) if isinstance(p, click.Argument)]

    def _beside(self, ctx: click.Context, words: list[str]) -> ConfigError:
        """The error for arguments that a command has no room for."""
        known = " and ".join(f"`{name}`" for name in self._arguments(ctx))
        must = f"must have {known} as its only argument" if known else "must have no argument"
        several = f"several files are a folder or a pattern in quotes, such as `'{PATTERN}'`"
        hint = several if known == "`DATA`" else None
        return ConfigError(ctx.command_path, must, f"`{words[0]}` too" if known else f"`{words[0]}`", hint=hint)

    def _no_option(self, ctx: click.Context, name: str, args: list[str]) -> ConfigError:
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        known = [text for option in options for text in option.opts if text.startswith("--")]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else ""
        if "--set" in known and name == "-m":
            hint = f"`--set trainer.metrics=[{_value_of(name, args)}]` sets them"
        elif "--set" in known and (key := _key_named(name)):
            hint = f"`--set {key}={_value_of(name, args)}` sets it"
        elif not close:
            hint = hint_of(name.lstrip("-").replace("-", "_"), config=True) or ""
        listed = ", ".join(f"`{text}`" for text in known)
        return ConfigError(f"an option must be one of {listed}", got=f"`{name}`", hint=hint or None)


def _called(argument: click.Parameter | None) -> str:
    return str(argument.metavar or argument.name).upper() if argument else ""


def _no_value(ctx: click.Context, option: click.Option, got: Any) -> ConfigError:
    """The error for a value that an option cannot have, the first of several that it cannot have."""
    for value in got if option.multiple else [got]:
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        try:
            option.type.convert(value, option, ctx)
        except click.BadParameter:
            break
    return ConfigError(option.opts[-1], f"must be {_wanted(option)}", f"`{visible(shown)}`")


def _wanted(option: click.Option) -> str:
    """What the value of an option must be, by its type."""
    kind = option.type
    if isinstance(kind, click.Tuple):
        return f"as in `{option.opts[-1]} {option.metavar}`"
    noun = "an integer" if isinstance(kind, type(click.INT)) else "a number"
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return noun
    least = f"above {kind.min:g}" if kind.min_open else f"of at least {kind.min:g}"
    return f"{noun} {least}" + (f" and at most {kind.max:g}" if kind.max is not None else "")


def _key_named(option: str) -> str:
    """The path of the configuration's key of this name, or nothing."""
    from fastbp.config.schema import SECTIONS

    name = option.lstrip("-").replace("-", "_")
    if name in ("lr", "weight_decay", "momentum"):
        return f"trainer.optimizer.{name}"
    return next((f"{path}.{name}".lstrip(".") for path, cls in SECTIONS.items() if name in cls.__struct_fields__), "")


def _value_of(option: str, args: list[str]) -> str:
    """What follows an option."""
    for i, text in enumerate(args):
        if text == option and i + 1 < len(args) and not args[i + 1].startswith("-"):
            return args[i + 1]
        if text.startswith(f"{option}="):
            return text.partition("=")[2]
    return "VALUE"


def config_options(function: Decorator) -> Decorator:
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


preset_option = click.option(
    "--preset", metavar="NAME", help="Lay this preset beneath the configuration; `fastbp presets` lists them."
)
no_header_option = click.option(
    "--no-header", is_flag=True, help="The first line of .csv files is a row; columns are c0, c1, ..."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")


def refuse_beside(option: str, **given: bool) -> None:
    """Refuse options that have no effect beside this one; `given` is whether each was given."""
    for name, there in given.items():
        if there:
            flag = "-q" if name == "quiet" else "-v" if name == "verbose" else f"--{name.replace('_', '-')}"
            raise click.UsageError(f"`{flag}` must not be given together with `{option}`, where it has no effect")


def refuse_dialect(delimiter: str | None, encoding: str | None, no_header: bool, files: Sequence[str]) -> None:
    """Refuse a delimiter, an encoding or the lack of a header where no file has one."""
    from fastbp.data.files import TABLES, suffix_of

    texts = [not (end := suffix_of(file)) or end in TABLES for file in files]  # folders and stdin may have any
    tsv = ["tsv" in suffix_of(file) for file in files]
    if delimiter is not None and files and not any(text and not tab for text, tab in zip(texts, tsv, strict=True)):
        raise click.UsageError(f"`--delimiter` must be given with a .csv file, got `{files[0]}`")
    for name, given in (("encoding", encoding is not None), ("no-header", no_header)):
        if given and files and not any(texts):
            raise click.UsageError(f"`--{name}` must be given with a file of text, such as .csv, got `{files[0]}`")


strict_option = click.option(
    "--strict", is_flag=True, help="Refuse values of categories that training did not see, rather than say so."
)


# What errors and warnings of tables say is set in a configuration, and how a command sets it.
AS_OPTIONS = {
    "set `data.header` to false": "give `--no-header`",
    "`data.delimiter`": "`--delimiter`",
    "`data.encoding`": "`--encoding`",
    "`data.max_memory`": "`--max-memory`",
}


@contextmanager
def tables_by_options() -> Iterator[None]:
    """What is wrong with a table is said to be set by options, not by keys of a configuration."""
    with warnings.catch_warnings(record=True) as said:
        try:
            yield
        except FastbpError as error:
            where = error.where and _as_options(f"`{error.where}`").strip("`")
            hint = error.hint and _as_options(error.hint)
            raise error.at(where=where, must=_as_options(error.must), hint=hint) from None
        finally:
            found = list(said)
    for one in found:
        message = one.message
        if isinstance(message, DataWarning) and message.hint:
            message = DataWarning(message.said, _as_options(message.hint))
        warnings.warn_explicit(message, one.category, one.filename, one.lineno)


def _as_options(text: str) -> str:
    for key, option in AS_OPTIONS.items():
        text = text.replace(key, option)
    return text


def table_options(function: Decorator) -> Decorator:
    """--delimiter, --encoding, --no-header and --strict."""
    for decorate in (
        strict_option,
        no_header_option,
        click.option("--encoding", help="Encoding of .csv files, such as latin-1; by default as in training."),
        click.option("--delimiter", help="Field delimiter of .csv files; by default as in training, or found out."),
    ):
        function = decorate(function)
    return function


def table_settings(
    settings: dict[str, Any], delimiter: str | None, encoding: str | None, no_header: bool
) -> dict[str, Any]:
    """How tables are read, with what the command line says of it."""
    given = {"delimiter": delimiter, "encoding": encoding, "header": False if no_header else None}
    return {**settings, **{key: value for key, value in given.items() if value is not None}}


def read_config(config: str | None, more: Sequence[str], expressions: Sequence[str], preset: str | None = None) -> Text:
    """The files merged from left to right, then --set, and a preset beneath them."""
    if not config and not more:
        command = click.get_current_context().command_path
        raise click.UsageError(f"a configuration must be given, such as `{command} config.yaml`")
    said = above(config, more, expressions)
    if preset is not None and "preset" in overrides(expressions).data:
        raise click.UsageError("`--preset` must not be given together with `--set preset=...`, which is the same")
    return said if preset is None else merge(said, Text({"preset": preset}, {("preset",): (f"--preset {preset}", 0)}))


def seconds_of(limit: str) -> float:
    """Seconds of --time-limit."""
    from fastbp.config.merging import override
    from fastbp.config.rules import seconds
    from fastbp.config.schema import Trainer

    said = override(f"trainer.time_limit={limit}")
    value = said.data["trainer"]["time_limit"]
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise click.UsageError(f"`--time-limit` must be a time such as `10m`, got `{limit}`")
    try:
        found = seconds(said, Trainer(time_limit=value))
    except ConfigError as error:
        raise error.at(where="--time-limit", place=None) from None
    assert found is not None
    return found


def told_of(text: Text) -> str:
    """A comment on a configuration's preset, whose keys are printed with all others."""
    name = text.data.get("preset")
    return "" if name is None else f"# The keys of the preset {name} lie beneath the configuration's own.\n"


def above(config: str | None, more: Sequence[str], expressions: Sequence[str]) -> Text:
    """What a command line says of a configuration, which may be nothing."""
    text = Text()
    for file in (*([config] if config else []), *more):
        text = merge(text, read(file))
    return merge(text, overrides(expressions))
