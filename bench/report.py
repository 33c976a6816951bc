"""The report: a header and Markdown tables, the ratios first, the contenders and the choice of a team after."""

from __future__ import annotations

from collections.abc import Sequence

from bench.session import Result
from bench.timing import Spread

TASKS = {"train": "training", "predict": "predicting"}


def header(facts: dict[str, str]) -> str:
    """One line a fact, as a Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def ratio_head(ours: str, rivals: Sequence[str], kind: str = "train") -> str:
    """The head of a table of ratios."""
    what = "net, batch" if kind == "train" else "net, call"
    return row([what, f"{ours} µs", "GFLOP/s", "of peak", *[f"{rival}/{ours}" for rival in rivals]], head=True)


def ratio_row(result: Result, rivals: Sequence[str]) -> str:
    """One case: our time, then how many times longer each rival took."""
    ours = result.ours
    cells = [
        result.case.title,
        spread(ours.micros),
        digits(result.gflops(ours)),
        f"{100 * result.share_of_peak():.0f} %",
    ]
    for place, rival in enumerate(rivals):
        cells.append(spread(result.duels[rival].ratios, bold=place == 0))
    return row(cells)


def details(results: Sequence[Result]) -> str:
    """Every contender in every case, with its losses, which must look alike."""
    unit = results[0].case.unit if results else "step"
    losses = ["loss compared", "loss timed"] if unit == "step" else []
    lines = [row(["net", "contender", "threads", f"µs a {unit}", "GFLOP/s", *losses, f"{unit}s timed"], head=True)]
    for result in results:
        for entry in result.entries:
            cells = [
                result.case.title,
                entry.name,
                str(entry.threads),
                spread(entry.micros),
                digits(result.gflops(entry)),
                *[f"{loss:.6f}" for loss in (entry.loss_compared, entry.loss_timed) if loss is not None],
                str(entry.steps),
            ]
            lines.append(row(cells))
    return "\n".join(lines)


def choices(results: Sequence[Result]) -> str:
    """The teams that ours chose, beside those of each fixed size; empty where there was nothing to choose."""
    lines: list[str] = []
    for result in results:
        choice = result.choice
        if choice is None:
            continue
        if not lines:
            sizes = [f"{size} fixed, µs" for size in choice.fixed]
            lines.append(row(["net, batch", "team", "chosen, µs", *sizes, "choice"], head=True))
        fixed = [spread(micros) for micros in choice.fixed.values()]
        lines.append(row([result.case.title, teams(result), spread(choice.chosen), *fixed, verdict(result)]))
    return "\n".join(lines)


def verdict(result: Result) -> str:
    """By how much the chosen team missed the best, in one phrase."""
    assert result.choice is not None
    s = Spread.of(result.choice.ratios)
    excess = [f"{100 * (ratio - 1):+.0f} %" for ratio in (s.median, s.least, s.most)]
    return f"{excess[0]} ({excess[1]} .. {excess[2]}) of the best, {result.choice.best}"


def teams(result: Result) -> str:
    """How many threads ours took, most often and in brackets all that there were."""
    seen = sorted(set(result.ours.teams))
    most = str(result.ours.team)
    return most if len(seen) < 2 else f"{most} ({', '.join(map(str, seen))})"


def for_readme(facts: dict[str, str], ours: str, tables: dict[str, list[Result]], rivals: dict[str, list[str]]) -> str:
    """The section of the README: the machine and its day in a sentence, and a table of ratios for each task."""
    peaks = {count: [r.peaks[count] for results in tables.values() for r in results] for count in peak_counts(tables)}
    rates = " and ".join(f"{spread(found)} GFLOP/s on {count}" for count, found in peaks.items())
    known = ("machine", "threads", "load", "python", "commit", "date")
    versions = ", ".join(f"{name} {value}" for name, value in facts.items() if name not in known)
    lines = [
        f"**{facts['machine']}**, {facts['date'].split()[0]}, commit {facts['commit']}, Python {facts['python']}, "
        f"{versions}; load {facts['load']} before it; peak of fused multiply-adds, before or behind "
        f"each row, whichever was larger: {rates}."
    ]
    for kind, results in tables.items():
        head = ratio_head(ours, rivals[kind], kind)
        lines += ["", "\n".join([head, *[ratio_row(result, rivals[kind]) for result in results]])]
    return "\n".join(lines)


def peak_counts(tables: dict[str, list[Result]]) -> list[int]:
    """The smallest and the largest number of cores of which there are peaks."""
    counts = {count for results in tables.values() for result in results for count in result.peaks}
    return sorted({min(counts), max(counts)}) if counts else []


def row(cells: Sequence[str], head: bool = False) -> str:
    """One line of a Markdown table, and the rule under it where it is the head."""
    line = f"| {' | '.join(cells)} |"
    return f"{line}\n|{'---|' * len(cells)}" if head else line


def spread(numbers: Sequence[float], bold: bool = False) -> str:
    """The median and, in brackets, the extremes.

    >>> spread([2.0, 1.0, 4.0]), spread([2.0], bold=True)
    ('2.00 (1.00..4.00)', '**2.00** (2.00..2.00)')
    """
    s = Spread.of(list(numbers))
    median = f"**{digits(s.median)}**" if bold else digits(s.median)
    return f"{median} ({digits(s.least)}..{digits(s.most)})"


def digits(number: float) -> str:
    """Three significant digits, never an exponent.

    >>> [digits(x) for x in (0.0514, 2.8, 23.06, 187.4, 226714.0)]
    ['0.051', '2.80', '23.1', '187', '226714']
    """
    for limit, places in [(0.1, 3), (10.0, 2), (100.0, 1)]:
        if abs(number) < limit:
            return f"{number:.{places}f}"
    return f"{number:.0f}"
