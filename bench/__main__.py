"""`python -m bench`: parse the options, measure case by case, print as it goes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import calls, cases, machine, readme, report, scaling
from bench.check import RefusedError
from bench.contenders import CONTENDERS
from bench.remote import WorkerError
from bench.session import Result, Session

OURS = "fastbp"
MODULES = {"train": cases, "predict": calls}
RIVALS = tuple(dict.fromkeys(name for kind in CONTENDERS.values() for name in kind if name != OURS))


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m bench", description="Time fastbp against its rivals.")
    options.add_argument("--tasks", type=tasks, default=list(MODULES), help="train, predict or both (default: both)")
    options.add_argument("--cases", type=names, default=[], help="only cases whose name contains one of these")
    options.add_argument("--threads", type=positive, default=machine.cpus(), help="threads (default: every CPU)")
    options.add_argument("--rounds", type=positive, default=7, help="turns of each contender (default: 7)")
    options.add_argument("--rivals", type=rivals, help=f"some of {', '.join(RIVALS)} (default: those installed)")
    options.add_argument("--json", type=writable, metavar="FILE", help="also write everything there")
    options.add_argument("--report", action="store_true", help="write this machine's section of the README")
    options.add_argument(
        "--scaling", action="store_true", help="instead, train on 1, 2, 4, 8 and 16 threads (with `--rivals`, them too)"
    )
    options.add_argument(
        "--packs", action="store_true", help="instead, many networks in a pack beside one by one (with `--rivals`, too)"
    )
    return options


def names(text: str) -> list[str]:
    """Split at commas."""
    return [part for part in text.split(",") if part]


def tasks(text: str) -> list[str]:
    """Split at commas and refuse other words."""
    return chosen_of(text, list(MODULES))


def rivals(text: str) -> list[str]:
    """Split at commas and refuse names of no rival and of one that is not installed."""
    found = chosen_of(text, RIVALS)
    for name in found:
        if not available(name):
            raise argparse.ArgumentTypeError(f"`{name}` is not installed")
    return found


def chosen_of(text: str, allowed: Sequence[str]) -> list[str]:
    """The words between commas, in the order of the tables whatever was typed."""
    for name in names(text):
        if name not in allowed:
            listed = ", ".join(f"`{one}`" for one in allowed)
            raise argparse.ArgumentTypeError(f"each name must be one of {listed}, got `{name}`")
    return [name for name in allowed if name in names(text)]


def available(name: str, kinds: Sequence[str] = tuple(CONTENDERS)) -> bool:
    """Whether a rival does one of these tasks and its library is installed."""
    return any(name in CONTENDERS[kind] and CONTENDERS[kind][name].available() for kind in kinds)


def writable(text: str) -> Path:
    """A file in a folder that exists, because learning otherwise at the end costs every measurement."""
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be in a folder that exists, got `{text}`")
    return Path(text)


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got `{text}`")
    return int(text)


def main(arguments: list[str] | None = None, ours: str = OURS) -> int:
    """Run the bench, `ours` against its rivals; return 1 if a case was refused or a worker failed."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["tabular"]:
        from bench.tabular import command

        return command.main(given[1:])
    if given[:1] == ["big"]:
        from bench import big

        return big.main(given[1:])
    if given[:1] == ["export"]:
        from bench import elsewhere  # exports here, and workers must not have fastbp before they are asked to

        return elsewhere.main(given[1:])
    if given[:1] == ["cluster"]:
        from bench import cluster

        return cluster.main(given[1:])
    if given[:1] == ["ranks"]:
        from bench import ranks

        return ranks.main(given[1:])
    options = parser().parse_args(given)
    chosen: dict[str, list[Any]] = {kind: MODULES[kind].named(options.cases) for kind in options.tasks}
    if not any(chosen.values()):
        known = [f"`{case.name}`" for kind in options.tasks for case in MODULES[kind].named([])]
        parser().error(f"`--cases` matches none of {', '.join(known)}")
    if options.report and (options.cases or options.scaling or options.packs or set(options.tasks) < set(MODULES)):
        parser().error("`--report` must be of all cases, without `--cases`, `--tasks`, `--scaling` and `--packs`")
    if options.report:
        from fastbp.kernels import levels  # no fastbp is imported in a worker of another

        if levels.level() != levels.runnable()[0]:
            parser().error("`--report` must be of the widest registers of the machine, without `FASTBP_LANES`")
        try:
            readme.rewritten(readme.README.read_text(encoding="utf-8"), machine.kind(), "")
        except readme.MarkersError as error:
            parser().error(str(error))
    if options.packs:
        return pack(options)
    if options.scaling:
        return scale(options, chosen.get("train", []), ours)
    opponents = {
        kind: [
            name
            for name in options.rivals or RIVALS
            if name != ours and name in CONTENDERS[kind] and available(name, [kind])
        ]
        for kind in chosen
    }
    if not any(opponents.values()):
        parser().error("there is no rival to compare with: install `torch` or `jax`")
    return Bench(options, ours, opponents).run({kind: found for kind, found in chosen.items() if found})


class Bench:
    """What a run has measured so far.

    Parameters
    ----------
    options : the parsed command line
    ours : the contender that the rivals are compared with
    rivals : their names for each task
    """

    def __init__(self, options: argparse.Namespace, ours: str, rivals: dict[str, list[str]]) -> None:
        self.options, self.ours, self.rivals = options, ours, rivals
        self.facts = machine.facts(options.threads)
        self.tables: dict[str, list[Result]] = {}
        self.refused: list[str] = []

    def run(self, chosen: dict[str, list[Any]]) -> int:
        """Measure and print every task; return the exit code."""
        try:
            for kind, found in chosen.items():
                self.measure(kind, found)
        except WorkerError as problem:
            self.refuse(problem)
        if self.options.json:
            results = [result.to_json() for results in self.tables.values() for result in results]
            everything = {"header": self.facts, "results": results, "refused": self.refused}
            self.options.json.write_text(json.dumps(everything, indent=2) + "\n")
        if self.options.report and not self.refused:
            readme.write(machine.kind(), report.for_readme(self.facts, self.ours, self.tables, self.rivals))
        return 1 if self.refused else 0

    def measure(self, kind: str, chosen: list[Any]) -> None:
        """Measure and print one task."""
        results = self.tables[kind] = []
        with Session(kind, self.rivals[kind], self.options.threads, self.options.rounds, self.ours) as session:
            self.facts |= session.versions
            peaks = ", ".join(f"{report.digits(peak)} on {count}" for count, peak in session.peaks().items())
            print(report.header({"task": report.TASKS[kind], **self.facts, "peak GFLOP/s": peaks}), end="\n\n")
            print(report.ratio_head(self.ours, self.rivals[kind], kind), flush=True)
            for case in chosen:
                try:
                    results.append(session.measure(case))
                except RefusedError as problem:
                    self.refuse(problem)
                    continue
                print(report.ratio_row(results[-1], self.rivals[kind]), flush=True)
        print(f"\n{report.details(results)}\n")
        if report.choices(results):
            print(f"{report.choices(results)}\n")

    def refuse(self, problem: Exception) -> None:
        """Say why something was not timed, and keep it for the exit code."""
        self.refused.append(str(problem))
        print(problem, file=sys.stderr, flush=True)


def scale(options: argparse.Namespace, chosen: list[cases.Case], ours: str) -> int:
    """Print the table of numbers of threads."""
    contenders = [ours, *[name for name in options.rivals or [] if name in CONTENDERS["train"]]]
    measured = (one for name in contenders for one in scaling.measure(name, chosen, options.threads, options.rounds))
    return table(options, "scaling", scaling.head(options.threads), scaling.row, measured)


def pack(options: argparse.Namespace) -> int:
    """Print the table of packs."""
    from bench import packs  # trains here, and workers must not have fastbp before they are asked to

    names = [name for name in options.rivals or [] if name in CONTENDERS["pack"]]
    measured = (
        packs.measure(case, packs.MEMBERS[case.name], options.threads, options.rounds, names)
        for case in packs.chosen(options.cases)
    )
    return table(options, "packs", packs.head(names), lambda found: packs.row(found, names), measured)


def table(options: argparse.Namespace, name: str, head: str, row: Callable[[Any], str], measured: Iterable[Any]) -> int:
    """Print a table of its own row by row, as each is measured; return 1 if a case was refused or a worker failed."""
    facts, found = machine.facts(options.threads), []
    print(report.header(facts), end="\n\n")
    print(head, flush=True)
    try:
        for one in measured:
            found.append(one)
            print(row(one), flush=True)
    except (RefusedError, WorkerError) as problem:
        print(problem, file=sys.stderr)
        return 1
    if options.json:
        everything = {"header": facts, name: [one.to_json() for one in found]}
        options.json.write_text(json.dumps(everything, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
