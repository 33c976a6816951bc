"""`fastbp train`."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from fastbp.cli.options import (
    Command,
    above,
    config_options,
    json_option,
    preset_option,
    quiet_option,
    read_config,
    refuse_beside,
    seconds_of,
    strict_option,
    told_of,
)
from fastbp.cli.output import give, print_json, say

if TYPE_CHECKING:
    from fastbp.runs.pack_training import PackTraining
    from fastbp.runs.training import Training
    from fastbp.train.ranks import Ranks


@click.command("train", cls=Command)
@config_options
@preset_option
@click.option("--run-dir", metavar="DIR", help="The run's folder; by default a new one below `run.folder`.")
@click.option("--resume", metavar="RUN", help="Resume this run; `auto` is the newest one.")
@click.option("--time-limit", metavar="TIME", help="Stop after this time, such as 10m; the run can be resumed.")
@click.option(
    "--max-memory", metavar="SIZE", help="Memory that it may take, such as 1GB; a table that needs more is streamed."
)
@strict_option
@click.option("--print-config", is_flag=True, help="Print the configuration with every default and exit.")
@json_option
@quiet_option
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
def command(**given: Any) -> int:
    """Train a network from CONFIG.

    The run's folder gets the resolved configuration, the epochs' metrics, the best and the last network, and a
    checkpoint from which `--resume` continues with the same bits as an uninterrupted run.
    """
    from fastbp.runs.launched import ranks_here

    ranks = ranks_here()
    if ranks is None:
        return _train(None, **given)
    from fastbp.cli.ranks import together

    return together(ranks, lambda: _train(ranks, **given))


def _train(
    ranks: Ranks | None,
    *,
    config: str | None,
    more: tuple[str, ...],
    overrides: tuple[str, ...],
    preset: str | None,
    run_dir: str | None,
    resume: str | None,
    time_limit: str | None,
    max_memory: str | None,
    strict: bool,
    print_config: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """The command, on one rank if there are several."""
    from fastbp.config.build import plan_of
    from fastbp.config.merging import merge
    from fastbp.config.text import Text
    from fastbp.errors import DivergedError, FastbpError, FileError
    from fastbp.runs.folder import RunFolder
    from fastbp.runs.stopping import Signals, Stopped
    from fastbp.runs.training import Training
    from fastbp.train.progress import Progress

    maker: Any = Training

    if print_config:
        given = {"run_dir": run_dir is not None, "time_limit": time_limit is not None}
        refuse_beside("--print-config", **given, json=as_json, quiet=quiet, verbose=verbose)
    limit = None if time_limit is None else seconds_of(time_limit)
    folder = None
    if run_dir is not None:
        refuse_beside("--run-dir", resume=resume is not None)
        if _runs(above(None, (), overrides)) is not None:
            raise click.UsageError("`--set run.folder` must not be given together with `--run-dir`")
    if resume is not None:
        said = above(config, more, overrides)
        if preset is not None or said.data.get("preset") is not None:
            raise click.UsageError("`preset` must not be given together with `--resume`: the run has its keys in full")
        folder = RunFolder.old(resume, _runs(said) or "runs")
        text = merge(folder.settings(), said)
        if resume == "auto":  # it may set `run.folder`
            text = merge(text, Text({"run": {"folder": plan_of(folder.settings()).config.run.folder}}))
    else:
        text = read_config(config, more, overrides, preset)
    if max_memory is not None:
        text = merge(text, Text({"data": {"max_memory": max_memory}}, {("data", "max_memory"): ("--max-memory", 0)}))
    plan = plan_of(text)
    if plan.config.sweep is not None:
        from fastbp.config.check import fail

        must = "must be left out where one run is trained"
        raise fail(plan.text, ("sweep",), must, hint="`fastbp sweep` trains the runs of a sweep")
    plan.time_limit, plan.strict = plan.time_limit if limit is None else limit, strict
    if print_config:
        from fastbp.runs.passes import Passes
        from fastbp.runs.subject import resolved_config

        give(told_of(text) + resolved_config(plan, Passes(Progress())))
        return 0
    if folder is not None and folder.config.is_file():
        before = plan_of(folder.settings())
        from fastbp.runs.training import refuse_changes

        refuse_changes(before, plan)
    if run_dir is not None and os.path.islink(run_dir) and not os.path.exists(run_dir):
        raise click.UsageError(f"`--run-dir` must be a new or empty folder, got a link, `{run_dir}`")
    signals = Signals()
    if ranks is not None:
        from fastbp.config.rules import for_ranks
        from fastbp.runs.ranked import RankedTraining, RankSignals, folder_of

        for_ranks(plan.text, plan.config, ranks.count)
        maker, signals = partial(RankedTraining, ranks), RankSignals()
    progress: Any = Progress(quiet=quiet)
    if plan.config.pack is not None:
        from fastbp.runs.pack_training import PackTraining
        from fastbp.runs.standings import Standings

        maker, progress = PackTraining, Standings(quiet=quiet)

    def own() -> RunFolder:
        return RunFolder.new(plan.config.run.folder, plan.config.name, run_dir) if folder is None else folder

    made = own() if ranks is None else folder_of(ranks, own)
    try:
        with made.held(new=folder is None):
            training: Training | PackTraining = maker(plan, made, progress, signals, going_on=folder is not None)
            if verbose:
                say(f"run folder {made.path}", err=True)
                for line in training.described():
                    say(line, err=True)
            result = training.go()
    except (Stopped, KeyboardInterrupt) as stop:
        code = stop.code if isinstance(stop, Stopped) else 130
        reason = str(stop) or "stopped at once"
        hint = f"go on with `fastbp train --resume {made.path}`"
        if not made.config.is_file() and not made.begun.is_file():
            made.discard()
            hint = "nothing was trained yet"
        if isinstance(stop, Stopped) and not stop.resumable:
            hint = f"the networks so far are in {made.path}, and lbfgs cannot go on from them"
        say(f"fastbp: {FastbpError(reason, hint=hint)}", err=True)
        return code
    except DivergedError as error:
        hint = "a smaller learning rate or `trainer.clip_norm` may help"
        kept = f"; the best network so far is in {made.path}" if made.best.exists() else ""
        raise error.at(hint=hint + kept) from None
    except FileError as error:
        made.discard()
        if not made.config.is_file():
            raise
        hint = f"go on with `fastbp train --resume {made.path}` when that is so"
        raise error.at(hint=hint) from None
    except Exception:
        made.discard()
        raise
    if training.idle:
        why, hint = training.idle
        say(f"fastbp: {FastbpError(why, hint=hint)}", err=True)
    if as_json:
        print_json(result)
    elif plan.config.pack is not None:
        from fastbp.cli.packs import summary as of_pack

        say(of_pack(result))
    else:
        say(summary(result, told=True))
    return 0


def _runs(said: Any) -> str | None:
    """The folder of runs, as far as the command line sets it."""
    run = said.data.get("run") if isinstance(said.data, dict) else None
    folder = run.get("folder") if isinstance(run, dict) else None
    return folder if isinstance(folder, str) else None


def summary(result: dict[str, Any], told: bool = False) -> str:
    """The summary printed at the end, with the report where it is `told`."""
    from fastbp.cli.report import calibrated, paragraphs, scores
    from fastbp.errors import escaped
    from fastbp.train.progress import clock, rate

    lines = [scores(result["metrics"], result.get("baseline")), ""]
    if told:
        width = shutil.get_terminal_size((100, 24)).columns
        lines += [paragraphs(result["report"], width, result["report"]["part"], whole=False), ""]
    if "calibration" in result:
        lines.append(calibrated(result["calibration"], result["report"]["part"]))
    if "judged" in result:
        drawn = ", ".join(f"{some:,} of {every:,} {name} rows" for name, (some, every) in result["judged"].items())
        lines.append(f"measured on {drawn}")
    lines.append(f"best epoch {result['best_epoch']} of {result['epochs']}" + _why(result["stopped"]))
    speed = f"{rate(result['samples_per_second'])} rows/s, {result['gflops']:.1f} GFLOP/s"
    if result.get("share_of_peak"):
        speed += f", {result['share_of_peak']:.0%} of this machine's peak"
    lines.append(f"{clock(result['seconds'])} for {result['steps']} steps, {speed}")
    lines.append(escaped(f"run folder {result['run_dir']}"))
    return "\n".join(lines)


def _why(stopped: str) -> str:
    return f", stopped because {stopped}" if stopped else ""
