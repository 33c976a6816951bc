"""`python -m bench`: parse the options, measure case by case, print as it goes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import cases, machine, report
from bench.check import RefusedError
from bench.remote import WorkerError
from bench.rivals import CONTENDERS
from bench.session import Session

RIVALS = ("torch", "jax", "numpy")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m bench", description="Time fastbp against its rivals.")
    options.add_argument("--cases", type=names, default=[], help="only cases whose name contains one of these")
    options.add_argument("--threads", type=positive, default=machine.cpus(), help="threads (default: every CPU)")
    options.add_argument("--rounds", type=positive, default=7, help="turns of each contender (default: 7)")
    options.add_argument("--rivals", type=rivals, help="some of torch, jax, numpy (default: those installed)")
    options.add_argument("--json", type=writable, metavar="FILE", help="also write everything there")
    return options


def names(text: str) -> list[str]:
    """Split at commas."""
    return [part for part in text.split(",") if part]


def rivals(text: str) -> list[str]:
    """Split at commas and refuse names of no rival and of one that is not installed."""
    for name in names(text):
        if name not in RIVALS:
            allowed = ", ".join(f"`{rival}`" for rival in RIVALS)
            raise argparse.ArgumentTypeError(f"each name must be one of {allowed}, got `{name}`")
        if not CONTENDERS[name].available():
            raise argparse.ArgumentTypeError(f"`{name}` is not installed")
    # In the order of the table, whatever was typed.
    return [name for name in RIVALS if name in names(text)]


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


def main(arguments: list[str] | None = None, ours: str = "fastbp") -> int:
    """Run the bench, `ours` against its rivals; return 1 if a case was refused or a worker failed."""
    options = parser().parse_args(arguments)
    chosen = cases.named(options.cases)
    if not chosen:
        parser().error(f"`--cases` matches none of {', '.join(f'`{case.name}`' for case in cases.CASES)}")
    opponents = options.rivals or [name for name in RIVALS if name != ours and CONTENDERS[name].available()]
    if not opponents:
        parser().error("there is no rival to compare with: install `torch` or `jax`")
    results, refused = [], []
    try:
        with Session(opponents, options.threads, options.rounds, ours) as session:
            facts = machine.facts(options.threads, session.versions)
            print(report.header(facts), end="\n\n")
            print(report.ratio_head(ours, opponents), flush=True)
            for case in chosen:
                try:
                    result = session.measure(case)
                except (RefusedError, WorkerError) as problem:
                    refused.append(str(problem))
                    print(problem, file=sys.stderr, flush=True)
                    if isinstance(problem, WorkerError):
                        break
                    continue
                results.append(result)
                print(report.ratio_row(result, opponents), flush=True)
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{report.details(results)}")
    if options.json:
        everything: dict[str, Any] = {
            "header": facts,
            "results": [result.to_json() for result in results],
            "refused": refused,
        }
        options.json.write_text(json.dumps(everything, indent=2) + "\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
