"""The report: a header and two Markdown tables, the ratios first and the contenders after."""

from __future__ import annotations

from bench.session import Result
from bench.timing import Spread


def header(facts: dict[str, str]) -> str:
    """One line a fact, as a Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def ratio_head(ours: str, rivals: list[str]) -> str:
    """The head of the main table."""
    return row(["net, batch", f"{ours} µs", "GFLOP/s", *[f"{rival}/{ours}" for rival in rivals]], head=True)


def ratio_row(result: Result, rivals: list[str]) -> str:
    """One case: our time, then how many times longer each rival took."""
    ours = result.ours
    cells = [f"{result.case.name}, {result.case.batch}", spread(ours.micros), digits(result.gflops(ours))]
    for place, rival in enumerate(rivals):
        cells.append(spread(result.duels[rival].ratios, bold=place == 0))
    return row(cells)


def details(results: list[Result]) -> str:
    """Every contender in every case, with its losses, which must look alike."""
    names = [
        "net, batch",
        "contender",
        "threads",
        "µs a step",
        "GFLOP/s",
        "loss compared",
        "loss timed",
        "steps timed",
    ]
    lines = [row(names, head=True)]
    for result in results:
        for entry in result.entries:
            lines.append(
                row(
                    [
                        f"{result.case.name}, {result.case.batch}",
                        entry.name,
                        str(entry.threads),
                        spread(entry.micros),
                        digits(result.gflops(entry)),
                        f"{entry.loss_compared:.6f}",
                        f"{entry.loss_timed:.6f}",
                        str(entry.steps),
                    ]
                )
            )
    return "\n".join(lines)


def row(cells: list[str], head: bool = False) -> str:
    """One line of a Markdown table, and the rule under it where it is the head."""
    line = f"| {' | '.join(cells)} |"
    return f"{line}\n|{'---|' * len(cells)}" if head else line


def spread(numbers: list[float], bold: bool = False) -> str:
    """The median and, in brackets, the extremes.

    >>> spread([2.0, 1.0, 4.0]), spread([2.0], bold=True)
    ('2.00 (1.00..4.00)', '**2.00** (2.00..2.00)')
    """
    s = Spread.of(numbers)
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
