"""`python -m bench tabular`: which sets and models, measured one after another, printed as they come."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.tabular import ours, page, places, results, rivals_of
from fastbp.config.presets import presets
from fastbp.engine.threads import default_threads
from fastbp.runs.folder import processor

HEAD = ("set", "rows", "metric", "model", "seeds", "mean", "spread", "seconds", "ms for 1,000")
ROW = "| {:9} | {:>7} | {:8} | {:14} | {:>5} | {:>9} | {:>8} | {:>7} | {:>12} |"
RULE = ROW.format(*("-" * n for n in (9, 7, 8, 14, 5, 9, 8, 7, 12)))
_TIME = re.compile(r"[0-9]+(\.[0-9]+)?[smhd]?")


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    given = options().parse_args(arguments)
    sets = given.sets or list(places.PACKAGES)
    python = Path(given.python) if given.python else None
    for name in sets:
        if name not in places.PACKAGES:
            options().error(f"a set must be one of {', '.join(places.PACKAGES)}, got `{name}`")
    if given.export:
        for name in sets:
            print(places.table(name))
        return 0
    if given.choose and (given.report or any(model in rivals_of.NAMES for model, _ in given.models)):
        options().error("`--choose` must be of presets, without rivals and `--report`")
    for model, _ in given.models:
        if model in rivals_of.NAMES and not rivals_of.version(model, python):
            options().error(f"`{model}` needs `--python` of an environment with {rivals_of.NEEDS[model]}")
    head = f"{datetime.date.today()}, {processor()}, {default_threads()} threads, Python {platform.python_version()}"
    print(head + "\n")
    print(ROW.format(*HEAD), RULE, sep="\n", flush=True)
    lines = []
    for line in measured(sets, given.models, given.seeds, given.set, python, given.choose):
        print(line, flush=True)
        lines.append(line)
    if given.report:
        page.write(head, [ROW.format(*HEAD), RULE, *lines])
    return 0


def measured(
    sets: Sequence[str],
    models: Sequence[tuple[str, int]],
    seeds: int,
    keys: list[str],
    python: Path | None,
    choose: bool,
) -> Iterator[str]:
    """A line for each set and model."""
    for name in sets:
        folder = places.table(name)
        about = json.loads((folder / "about.json").read_text())
        for model, count in models:
            runs = [one(folder, name, model, seed, keys, python, choose) for seed in range(count or seeds)]
            yield row(name, about, model, runs)


def one(
    folder: Path, name: str, model: str, seed: int, keys: list[str], python: Path | None, choose: bool
) -> dict[str, Any]:
    """What is known of a seed, or is measured now."""
    if model in rivals_of.NAMES:
        version = rivals_of.version(model, python)
        return results.kept(model, name, seed, version, lambda: rivals_of.trained(folder, model, seed, python))
    depends = " ".join([results.of_ours(), *keys])
    where = f"{model} choose" if choose else model
    return results.kept(where, name, seed, depends, lambda: ours.trained(folder, model, seed, keys, choose))


def row(name: str, about: dict[str, Any], model: str, runs: list[dict[str, Any]]) -> str:
    """The line of a set and a model."""
    scores = np.array([run["score"] for run in runs])
    digits = 0 if scores[0] > 1000 else 2 if scores[0] > 10 else 4
    seconds = np.mean([run["seconds"] for run in runs])
    took = np.median([run["milliseconds"] for run in runs])
    figures = [f"{scores.mean():,.{digits}f}", f"{np.ptp(scores):,.{digits}f}", f"{seconds:.0f}", f"{took:.2g}"]
    return ROW.format(name, f"{about['rows']:,}", about["metric"], model, len(runs), *figures)


def options() -> argparse.ArgumentParser:
    """The options."""
    asked = argparse.ArgumentParser(prog="python -m bench tabular", description="Scores on real tables.")
    asked.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(places.PACKAGES)}; by default all")
    asked.add_argument(
        "--models",
        type=models,
        default=[("init", 0), ("lightgbm", 0)],
        help="`init`, presets and rivals (init,lightgbm)",
    )
    asked.add_argument("--seeds", type=number, default=3, help="how many, from 0 (3)")
    asked.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `fastbp train`, of ours")
    asked.add_argument("--python", metavar="FILE", help="of an environment with rivals that pip's does not have")
    asked.add_argument(
        "--choose", action="store_true", help="score the validation rows, of which training then has none"
    )
    asked.add_argument("--report", action="store_true", help="also write the table of docs/accuracy.md")
    asked.add_argument("--export", action="store_true", help="write the tables and do no more")
    return asked


def number(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 1, got `{text}`")
    return int(text)


def models(text: str) -> list[tuple[str, int]]:
    """Names between commas, of which presets may have a time limit behind an @; with their number of seeds, if given.

    Examples
    --------
    >>> models("init,plain@60s*1")
    [('init', 0), ('plain@60s', 1)]
    """
    known = ["init", *presets(), *rivals_of.NAMES]
    found = []
    for one in filter(None, text.split(",")):
        model, times, count = one.partition("*")
        name, at, limit = model.partition("@")
        if name not in known:
            raise argparse.ArgumentTypeError(f"each must be one of {', '.join(known)}, got `{name}`")
        if at and (name in rivals_of.NAMES or not _TIME.fullmatch(limit)):
            raise argparse.ArgumentTypeError(f"must have a time such as `60s` behind a preset's @, got `{model}`")
        found.append((model, number(count) if times else 0))
    return found
