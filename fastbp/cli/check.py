"""`fastbp check`."""

from __future__ import annotations

from typing import Any

import click

from fastbp.cli.options import (
    Command,
    config_options,
    json_option,
    preset_option,
    quiet_option,
    read_config,
    refuse_beside,
    told_of,
)
from fastbp.cli.output import give, layer_rows, print_json, say, table

COLUMNS = 40  # of a table, listed at most


@click.command("check", cls=Command)
@config_options
@preset_option
@click.option("--print-config", is_flag=True, help="Also print the configuration with every default.")
@click.option("--plan", "reads_plan", is_flag=True, help="Also print the ops of a training step.")
@json_option
@quiet_option
def command(
    config: str | None,
    more: tuple[str, ...],
    overrides: tuple[str, ...],
    preset: str | None,
    print_config: bool,
    reads_plan: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Validate CONFIG and read its data, without training; shows layers, columns, shapes and memory."""
    from msgspec import to_builtins

    from fastbp.config.build import plan_of
    from fastbp.config.text import as_yaml
    from fastbp.runs.outline import outline, training_plan

    if as_json:
        refuse_beside("--json", print_config=print_config, quiet=quiet)
    text = read_config(config, more, overrides, preset)
    plan = plan_of(text)
    search = None
    if plan.config.sweep is not None:
        from fastbp.config.search import search_of

        search = search_of(plan)
    found = outline(plan, quiet or as_json)
    if as_json:
        said = {} if search is None else {"sweep": {"trials": search.trials, "space": search.space.said()}}
        print_json({**found.data(), **said, **({"plan": training_plan(plan)} if reads_plan else {})})
        return
    if print_config:
        sweep = {} if search is None else {"sweep": to_builtins(plan.config.sweep)}
        give(told_of(text) + as_yaml({**found.resolved, **sweep}) + "\n")
    if not quiet:
        _say(found)
        if search is not None:
            _say_sweep(search)
    if reads_plan:
        say(("" if quiet else "\n") + training_plan(plan))


def _say(found: Any) -> None:
    """Layers, task, rows and sizes."""
    from fastbp.errors import visible
    from fastbp.runs.outline import LISTED, listed

    say(table(layer_rows(found.layers)))
    say("")
    if found.columns:
        columns = [
            [c.name, c.type, "; ".join(filter(None, (c.about, c.scale, c.becomes)))] for c in found.columns[:COLUMNS]
        ]
        say(table([["column", "type", ""], *columns], right=False))
        say(f"... and {len(found.columns) - COLUMNS:,} more\n" if len(found.columns) > COLUMNS else "")
    if found.shares:
        say(listed(found.targets, found.shares))
    else:
        ways = {name: f" by {way}" for name, way in found.transforms.items() if way != "none"}
        targets = [visible(name) + ways.get(name, "") for name in found.targets[:LISTED]]
        say(f"{found.task}: {', '.join(targets + ['...'] * (len(found.targets) > LISTED))}")
    say(", ".join(f"{name} {count:,} rows" for name, count in found.rows.items()))
    if found.pack is not None:
        _say_pack(found.pack, found.memory)
        return
    say(f"{found.parameters:,} parameters, {found.steps:,} steps an epoch, about {found.memory / 2**20:.1f} MiB")
    if found.shards > 1:
        say(f"batches are cut into {found.shards:,} shards, for as many ranks at most")


def _say_sweep(search: Any) -> None:
    """Trials, how they are chosen, and of what."""
    trials = f"{search.trials:,} trial{'s' if search.trials > 1 else ''}"
    say(f"\n{trials}, chosen by `{search.sampler.kind}`, pruned by `{search.pruner.kind}`")
    say(table([[name, said] for name, said in search.space.said().items()], right=False))


def _say_pack(pack: Any, memory: int) -> None:
    """Members, what they are drawn from, and sizes."""
    say("")
    members = f"{pack.members:,} member{'s' if pack.members > 1 else ''}"
    say(members + (f" on {pack.folds} folds, {pack.networks:,} networks" if pack.folds is not None else ""))
    if pack.space:
        say(table([[name, said] for name, said in pack.space.items()], right=False))
    rows, sizes = (f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in (pack.rows, pack.parameters))
    say(f"{sizes} parameters and {rows} rows each, about {memory / 2**20:.1f} MiB together")
