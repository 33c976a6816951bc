"""`fastbp`: runs a command and turns errors into one sentence and an exit code.

0 done    1 the run failed    2 usage or configuration    3 data    4 diverged
75 stopped, can be resumed    130, 143 ended by SIGINT, SIGTERM
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any

import click

# Command -> its help. Its module, of the same name, is imported on first use.
COMMANDS = {
    "train": "Train a network from a configuration.",
    "evaluate": "Loss and metrics of a saved network on a table.",
    "predict": "Predictions of a saved network for the rows of a table.",
    "export": "Write a saved network for elsewhere: ONNX, C, JavaScript, a page, PyTorch.",
    "explain": "Show what each column of the table is worth to a run's network.",
    "sweep": "Search for the best settings of a configuration, by many runs.",
    "check": "Validate a configuration; shows network, shapes, parameters and memory.",
    "gradcheck": "Compare the gradients of a configuration's network with numerical ones.",
    "init": "Write a commented configuration for a table.",
    "presets": "List the presets: keys of a configuration by a name.",
    "show": "Show a run: epochs, metrics, curves.",
    "bench": "Time training steps against plain NumPy.",
    "warmup": "Compile all kernels into the cache (for container images).",
    "doctor": "Show what fastbp detects on this machine.",
    "schema": "Print the JSON schema of configurations, for editors.",
}


class Lazy(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"fastbp.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from fastbp.errors import ConfigError

        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise ConfigError(
                "an option before the command must be `--version` or `--help`", got=f"`{error.option_name}`"
            ) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        import difflib

        from fastbp.errors import ConfigError

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `{close[0]}`?" if close else None
            known = ", ".join(f"`{name}`" for name in COMMANDS)
            raise ConfigError(f"a command must be one of {known}", got=f"`{args[0]}`", hint=hint)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(sys.modules["fastbp"].__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Multi-layer perceptrons on CPUs: fast, and with the same bits on every machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def code_of(error: BaseException) -> int:
    """The exit code for an error."""
    from fastbp.errors import CheckpointError, ConfigError, DataError, DivergedError

    for kind, code in ((ConfigError, 2), (CheckpointError, 2), (DataError, 3), (DivergedError, 4)):
        if isinstance(error, kind):
            return code
    return 1


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    from fastbp.cli.output import say
    from fastbp.errors import FastbpError, line

    formatted = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: "\n".join(map(line, f"fastbp: {message}".split("\n"))) + "\n"
    try:
        result = cli.main(arguments, prog_name="fastbp", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        _say(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"try `{error.ctx.command_path} --help`", err=True)
        return 2
    except FastbpError as error:
        say(f"fastbp: {error}", err=True)
        return code_of(error)
    except MemoryError:
        _say("out of memory")
        return 1
    except SystemExit as end:  # a closed pipe, which click has handled
        return int(end.code or 0)
    except OSError as error:
        _say(f"`{error.filename}`: {error.strerror}" if error.filename else str(error.strerror or error))
        return 1
    except (KeyboardInterrupt, click.Abort):
        from fastbp.runs.launched import launched

        if not launched()[1]:  # of several ranks the first says it
            _say("stopped")
        return 130
    finally:
        warnings.formatwarning = formatted


def _say(message: str) -> None:
    from fastbp.cli.output import say
    from fastbp.errors import line

    say(line(f"fastbp: {message}"), err=True)
