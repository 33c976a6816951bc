"""`fastbp show`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fastbp.cli.options import Command, json_option, quiet_option, refuse_beside
from fastbp.cli.output import layer_rows, print_json, say, table
from fastbp.writing import whole


@click.command("show", cls=Command)
@click.argument("run", metavar="RUN|CONFIG|MODEL")
@click.option("--graph", metavar="FILE", help="Draw the network to this SVG file instead.")
@click.option("--epochs", type=click.IntRange(0), help="Number of epochs in the table, the last ones; by default 10.")
@json_option
@quiet_option
def command(run: str, graph: str | None, epochs: int | None, as_json: bool, quiet: bool) -> None:
    """Show RUN, a run's folder: its curve, its last epochs and its result; or the layers of a CONFIG or a MODEL, or
    the members of an ensemble.

    With --graph, draw the network instead, that of a CONFIG with the norms of its first gradients.
    """
    _refuse_table(run)
    if graph is not None:
        refuse_beside("--graph", epochs=epochs is not None)
        _draw(run, graph, as_json, quiet)
        return
    if quiet:
        raise click.UsageError("`-q` must be given together with `--graph`")
    if Path(run).is_file():
        refuse_beside(run, epochs=epochs is not None)
        _show_layers(run, as_json)
    else:
        _show_run(run, 10 if epochs is None else epochs, as_json)


def _refuse_table(path: str) -> None:
    from fastbp.data.files import FRAMES, TABLES, suffix_of
    from fastbp.errors import CheckpointError

    if Path(path).is_file() and suffix_of(path) in (*TABLES, *FRAMES):
        hint = f"`fastbp init {path}` writes a configuration for a table, and `fastbp check` shows its columns"
        raise CheckpointError(path, "must be a run's folder, a configuration or a network, but is a table", hint=hint)


def _show_layers(path: str, as_json: bool) -> None:
    """The layers of a configuration's or a file's network."""
    from fastbp.runs.outline import layers_in
    from fastbp.runs.prediction import is_ensemble

    if is_ensemble(Path(path)):
        from fastbp.runs.ensembles import members_in

        _show_members(members_in(Path(path)), as_json)
        return
    layers = layers_in(path)
    total = sum(layer.parameters for layer in layers)
    if as_json:
        print_json({"layers": [asdict(layer) for layer in layers], "parameters": total})
    else:
        say(table([*layer_rows(layers), ["total", *[""] * (len(layer_rows(layers)[0]) - 2), f"{total:,}"]]))


def _show_members(members: list[Any], as_json: bool) -> None:
    """The members of an ensemble's file."""
    total = sum(row.parameters for row in members)
    if as_json:
        print_json({"members": [asdict(row) for row in members], "parameters": total})
        return
    named = any(row.chosen is not None for row in members)
    epochs = named and isinstance(members[0].chosen, tuple)
    rows = [["member", "weight", *(["of", "epoch"] if epochs else ["of"] if named else []), "layers", "parameters"]]
    for row in members:
        chosen = [*map(str, row.chosen)] if epochs else [str(row.chosen)] if named else []
        rows.append([str(row.member), f"{row.weight:g}", *chosen, row.layers, f"{row.parameters:,}"])
    say(table([*rows, ["total", *[""] * (len(rows[0]) - 2), f"{total:,}"]]))


def _show_run(run: str, epochs: int, as_json: bool) -> None:
    from fastbp.config.build import plan_of
    from fastbp.errors import escaped
    from fastbp.pictures.terminal import plot
    from fastbp.runs.folder import RunFolder
    from fastbp.runs.told import epochs_of, result_of
    from fastbp.train.progress import number

    folder = RunFolder.old(run)
    plan = plan_of(folder.settings())
    if plan.config.pack is not None:
        _show_pack(folder, plan, as_json)
        return
    rows = epochs_of(folder)
    result = result_of(folder.path)
    if as_json:
        print_json({"run_dir": str(folder.path), "epochs": rows, "result": result or None})
        return
    if not rows:
        say("no epoch is done yet")
        return
    width = min(shutil.get_terminal_size((100, 24)).columns, 160)
    names = list(rows[0])
    best = result.get("best_epoch")
    if best is None:
        values = [(r.get("val_loss", r["loss"]), r["epoch"]) for r in rows]
        values = [v for v in values if v[0] is not None]
        best = min(values)[1] if values else None
    say(plot(rows, [n for n in rows[0] if n in ("loss", "val_loss")], width, 14, best))
    shown = rows[-epochs:] if epochs else []
    if best is not None and 1 <= best <= len(rows) and not any(r["epoch"] == best for r in shown):
        shown = [rows[best - 1], *shown]
    lines = [[*names, ""]]
    for row in shown:
        mark = "best" if row["epoch"] == best else ""
        lines.append([str(row["epoch"]), *(number(row[n]) for n in names[1:]), mark])
    say("\n" + table(lines))
    if result:
        from fastbp.cli.train import summary

        say("\n" + summary(result))
    else:
        again = escaped(f"fastbp train --resume {folder.path}")
        say(f"\n{len(rows)} epochs done, not finished: `{again}` goes on")


def _show_pack(folder: Any, plan: Any, as_json: bool) -> None:
    """The result of a run with `pack`, or how far its members are."""
    from fastbp.cli.packs import standings, summary
    from fastbp.errors import escaped
    from fastbp.runs.told import pack_epochs_of, pack_result_of

    rows = pack_epochs_of(folder)
    result = pack_result_of(folder.path)
    if as_json:
        print_json({"run_dir": str(folder.path), "epochs": rows, "result": result or None})
        return
    if result:
        say(summary(result, told=False, shown=len(result["members"])))
        return
    if not rows:
        say("no epoch is done yet")
        return
    measure = plan.config.trainer.monitor or ("val_loss" if "val_loss" in rows[0] else "loss")
    say(standings(rows, measure, _is_upwards(measure, plan.config.trainer.mode)))
    say(f"\n{len(rows):,} epochs done, not finished: `{escaped(f'fastbp train --resume {folder.path}')}` goes on")


def _is_upwards(measure: str, mode: str) -> bool:
    """Whether more of a measure is better."""
    from fastbp.train.callbacks import Monitor

    return Monitor("trainer", measure, mode).higher


def _draw(run: str, graph: str, as_json: bool, quiet: bool) -> None:
    from fastbp.errors import ConfigError, escaped
    from fastbp.runs.drawing import drawing

    if not graph.lower().endswith(".svg"):
        raise ConfigError("--graph", "must be a file whose name ends in `.svg`", f"`{graph}`")
    picture = drawing(run)
    with whole(graph) as file:
        file.write(str(picture).encode())
    if as_json:
        print_json({"graph": graph})
    elif not quiet:
        say(escaped(f"wrote {graph}"))
