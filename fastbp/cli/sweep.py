"""`fastbp sweep` and `fastbp sweep show`."""

from __future__ import annotations

import shutil
from typing import Any

import click

from fastbp.cli.options import (
    Command,
    config_options,
    json_option,
    preset_option,
    quiet_option,
    read_config,
    seconds_of,
    strict_option,
)
from fastbp.cli.output import print_json, say, table

SHOWN = 10  # trials, at most
BAR = 30  # of importance, its width


@click.command("show", cls=Command)
@click.argument("folder", metavar="DIR")
@click.option("--top", default=SHOWN, show_default=True, help="Number of trials to print, the best ones.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="FILE",
    help="Write all trials to a .csv or .json file, or the configuration of the best to a .yaml file.",
)
@json_option
def show(folder: str, top: int, outputs: tuple[str, ...], as_json: bool) -> None:
    """Rank the trials of the sweep in DIR, while it goes on, too, and draw what its settings were worth.

    Importance is Optuna's PED-ANOVA: how far the settings of the best tenth of the trials are from those of all. It is
    written to importance.svg in DIR. Trials that were pruned do not count.
    """
    from fastbp.errors import FileError
    from fastbp.studies.shown import save, study_at

    found = study_at(folder)
    for path in outputs:
        save(found, path)
        say(f"wrote {path}", err=True)
    try:
        drawn = found.draw()
    except FileError as error:  # a folder of another user, who lets others look at it
        drawn = None
        say(f"fastbp: {error}", err=True)
    if as_json:
        print_json(found.data())
        return
    say(text_of(found, max(top, 0)))
    if drawn is not None:
        say(f"wrote {drawn}", err=True)


class Either(Command):
    """A command that is another one where its first argument is `show`."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> click.Context:
        if args and args[0] == "show":
            return show.make_context(f"{info_name} show", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("sweep", cls=Either)
@config_options
@preset_option
@click.option("-j", "--jobs", type=int, metavar="N", help="Processes; by default one per processor.")
@click.option("--storage", metavar="DIR", help="The study's folder; by default sweeps/ and the configuration's name.")
@click.option("--time-limit", metavar="TIME", help="Stop after this time, such as 10m; the same command goes on.")
@strict_option
@json_option
@quiet_option
def command(
    config: str | None,
    more: tuple[str, ...],
    overrides: tuple[str, ...],
    preset: str | None,
    jobs: int | None,
    storage: str | None,
    time_limit: str | None,
    strict: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Search for the best settings of CONFIG, which has a section `sweep`; `fastbp sweep show DIR` ranks the trials.

    The same command goes on with a sweep that was stopped or killed, and takes part in one that is going on, from
    another machine on a shared folder too.
    """
    from fastbp.errors import FastbpError
    from fastbp.runs.stopping import Stopped
    from fastbp.spec.checks import whole
    from fastbp.studies.folder import folder_of
    from fastbp.studies.party import fitting
    from fastbp.studies.shown import study_at
    from fastbp.studies.sweeping import Sweeping

    if jobs is not None:
        whole("--jobs", jobs, 1)
    if storage is not None:
        folder_of("--storage", storage)
    limit = None if time_limit is None else seconds_of(time_limit)
    sweeping = Sweeping.of(read_config(config, more, overrides, preset), storage, strict)
    threads = sweeping.search.threads
    count = fitting(jobs, threads, sweeping.search.trials)
    if jobs is not None and count < min(jobs, sweeping.search.trials) and not quiet:
        each = f"{threads} threads each" if threads > 1 else "one thread each"
        say(f"fastbp: {count} of {jobs} processes, with {each}, are as many as there are processors for", err=True)
    try:
        sweeping.run(count, quiet, limit)
    except (Stopped, KeyboardInterrupt) as stop:
        code = stop.code if isinstance(stop, Stopped) else 130
        error = FastbpError(str(stop) or "stopped at once", hint="the same command goes on")
        say(f"fastbp: {error}", err=True)
        return code
    found = study_at(str(sweeping.folder.path))
    if as_json:
        print_json(found.data())
    else:
        say(text_of(found, SHOWN))
    if any(row.state == "complete" for row in found.rows):
        return 0
    say("fastbp: no trial is complete", err=True)
    return 1


def text_of(found: Any, top: int) -> str:
    """The best trials, importance, and how many there are of each kind."""
    from fastbp.errors import escaped

    rows = found.rows
    if not rows:
        return "no trial has begun"
    lines = [trials(found, top), ""]
    if found.importance:
        lines += [importance(found.importance), ""]
    count = {state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "running", "failed")}
    said = ", ".join(f"{n} {state}" for state, n in count.items() if n)
    lines.append(f"{len(rows)} trial{'s' * (len(rows) > 1)}: {said}")
    for row in [row for row in rows if row.why][:3]:
        lines.append(f"trial {row.number} failed: {row.why.splitlines()[0]}")
    lines.append(escaped(f"study folder {found.folder.path}"))
    return "\n".join(lines)


def trials(found: Any, top: int) -> str:
    """A row for each of the best trials."""
    from fastbp.config.space import brief_value, short_names
    from fastbp.train.progress import number

    rows = found.rows
    names = list(dict.fromkeys(name for row in rows for name in row.settings))
    heads = short_names(names)
    parts = [part for part in ("test",) if any(part in row.metrics for row in rows)]
    of_parts = [(part, name) for part in parts for name in next(r.metrics[part] for r in rows if part in r.metrics)]
    head = ["trial", found.measure, *(f"{part} {name}" for part, name in of_parts), "state", "best epoch"]
    lines = [[*head, *heads.values()]]
    for row in rows[:top]:
        scores = [number(row.metrics.get(part, {}).get(name)) for part, name in of_parts]
        best = "-" if row.best_epoch is None else f"{row.best_epoch} of {row.epochs}"
        settings = [brief_value(row.settings[name]) if name in row.settings else "-" for name in names]
        lines.append([str(row.number), number(row.value), *scores, row.state, best, *settings])
    left = len(rows) - top
    return "\n".join([table(lines), *([f"and {left:,} more"] if left > 0 else [])])


def importance(found: dict[str, float]) -> str:
    """A bar for each setting."""
    wide = min(BAR, shutil.get_terminal_size((100, 24)).columns - 30)
    rows = [["setting", "importance"], *([name, f"{value:.3f}"] for name, value in found.items())]
    most = max([*found.values(), 1e-9])
    lines = table(rows).split("\n")
    drawn = [lines[0]]
    for line, value in zip(lines[1:], found.values(), strict=True):
        halves = round(2 * wide * max(value, 0.0) / most)
        drawn.append(f"{line}  {'━' * (halves // 2)}{'╸' * (halves % 2)}".rstrip())
    return "\n".join(drawn)
