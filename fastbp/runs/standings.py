"""What a pack's run shows: a bar and the best members, drawn again on terminals; lines of a log elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from fastbp.train.progress import BAR, EVERY, GAP, SILENCE, Out, clock, even, number, rate

BEST = 5  # members that are shown, at most
TENTHS = 10  # lines of a log, about


@dataclass
class Standing:
    """Where a network stands: its epochs of all, and its best so far; `about` is what was drawn for it."""

    name: str
    epochs: int
    of: int
    best: float | None
    at: int
    about: str
    left: bool = False


class Standings(Out):
    """Draws the members of a run."""

    def __init__(self, out: TextIO | None = None, quiet: bool = False, live: bool | None = None) -> None:
        super().__init__(out, quiet, live)
        self._drawn, self._tenth, self._lines = 0.0, 0, 0
        self._said = ""

    def begin(self, monitor: str, upwards: bool, done: float, samples: float) -> None:
        """Before training; so many epochs and rows were done before."""
        self._monitor, self._upwards = monitor, upwards
        self._begun = time.perf_counter()
        self._before, self._samples = done, samples
        self._drawn = 0.0 if self.live else self._begun

    def due(self) -> bool:
        """Whether it is time to draw."""
        return not self.quiet and time.perf_counter() - self._drawn >= (EVERY if self.live else 0.5)

    def draw(self, standings: Sequence[Standing], samples: float, last: bool = False) -> None:
        """Show where all stand after so many rows."""
        if self.quiet:
            return
        now = time.perf_counter()
        epochs = sum(one.of if one.left else one.epochs for one in standings)
        every = sum(one.of for one in standings)
        going = sum(not one.left for one in standings)
        tenth = TENTHS * epochs // max(every, 1)
        if not self.live and not last and tenth <= self._tenth and now - self._drawn < SILENCE:
            return
        self._drawn, self._tenth = now, tenth
        took = max(now - self._begun, 1e-9)
        speed = f"{rate((samples - self._samples) / took)} rows/s"
        best = ranked(standings, self._upwards)
        if not self.live:
            leader = f", best {best[0].name} {self._monitor}={number(best[0].best)} at {best[0].at}" if best else ""
            said = f"{going} of {len(standings)} train, {epochs}/{every} epochs{leader}"
            if said != self._said:
                self._write(f"{said}, {speed}\n")
            self._said = said
            return
        done = epochs - self._before
        left = clock(took / done * (every - epochs)) if done > 0 else "-"
        columns, rows = shutil.get_terminal_size((100, 24))
        whole = int(BAR * epochs / max(every, 1))
        bar = "━" * whole + "╌" * (BAR - whole)
        head = GAP.join((f"{going:{len(str(len(standings)))}} of {len(standings)} train", f"{left:>8} left", speed))
        self._draw(bar, head, self._table(best[: max(1, min(BEST, rows - 3))]), columns - 1)

    def _table(self, best: Sequence[Standing]) -> list[str]:
        """A line for each of the best."""
        wide = max((len(one.name) for one in best), default=0)
        return [
            GAP.join(
                (
                    one.name.ljust(wide),
                    f"{one.epochs:{len(str(one.of))}}/{one.of}",
                    f"best {self._monitor} {even(one.best)} at {one.at:<{len(str(one.of))}}",
                    one.about,
                )
            ).rstrip()
            for one in best
        ]

    def _draw(self, bar: str, head: str, table: Sequence[str], width: int) -> None:
        shown = f"{bar}{GAP}{head}"
        if len(shown) > width:
            shown = head[:width]
        elif self.color:
            shown = f"\x1b[32m{bar}\x1b[0m{GAP}{head}"
        lines = [shown, *(text if len(text) <= width else f"{text[: width - 1]}…" for text in table)]
        self._write(self._cleared() + "\n".join(lines))
        self._lines = len(lines)

    def _cleared(self) -> str:
        """What takes away the lines that were drawn."""
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        return f"{up}\r\x1b[J" if self._lines else ""

    def end(self) -> None:
        """Take the lines away that are drawn again."""
        if self._lines:
            self._write(self._cleared())
            self._lines = 0


def ranked(standings: Sequence[Any], upwards: bool) -> list[Any]:
    """Those that have a best, the best first."""
    there = [one for one in standings if one.best is not None]
    return sorted(there, key=lambda one: -one.best if upwards else one.best)
