"""`fastbp check`."""

from __future__ import annotations

from typing import Any

import click

from fastbp.cli.options import Command, config_options, json_option, quiet_option, read_config, refuse_beside
from fastbp.cli.output import give, layer_rows, print_json, say, table

COLUMNS = 40  # of a table, listed at most


@click.command("check", cls=Command)
@config_options
@click.option("--print-config", is_flag=True, help="Also print the configuration with every default.")
@click.option("--plan", "reads_plan", is_flag=True, help="Also print the ops of a training step.")
@json_option
@quiet_option
def command(
    config: str | None,
    more: tuple[str, ...],
    overrides: tuple[str, ...],
    print_config: bool,
    reads_plan: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Validate CONFIG and read its data, without training; shows layers, columns, shapes and memory."""
    from fastbp.config.build import plan_of
    from fastbp.config.text import as_yaml
    from fastbp.runs.outline import outline, training_plan

    if as_json:
        refuse_beside("--json", print_config=print_config, quiet=quiet)
    plan = plan_of(read_config(config, more, overrides))
    found = outline(plan)
    if as_json:
        print_json({**found.data(), **({"plan": training_plan(plan)} if reads_plan else {})})
        return
    if print_config:
        give(as_yaml(found.resolved) + "\n")
    if not quiet:
        _say(found)
    if reads_plan:
        say(("" if quiet else "\n") + training_plan(plan))


def _say(found: Any) -> None:
    """Layers, task, rows and sizes."""
    from fastbp.errors import visible

    say(table(layer_rows(found.layers)))
    say("")
    if found.columns:
        columns = [
            [c.name, c.type, "; ".join(filter(None, (c.about, c.scale, c.becomes)))] for c in found.columns[:COLUMNS]
        ]
        say(table([["column", "type", ""], *columns], right=False))
        say(f"... and {len(found.columns) - COLUMNS:,} more\n" if len(found.columns) > COLUMNS else "")
    names = found.targets[:8]
    targets = [f"{visible(name)} {found.shares[name]:.0%}" if found.shares else visible(name) for name in names]
    count = f"{len(found.targets):,} " if found.shares else ""
    say(f"{count}{found.task}: {', '.join(targets + ['...'] * (len(found.targets) > 8))}")
    say(", ".join(f"{name} {count:,} rows" for name, count in found.rows.items()))
    say(f"{found.parameters:,} parameters, {found.steps:,} steps an epoch, about {found.memory / 2**20:.1f} MiB")
