"""What a sweep shows: a bar and the best trials, drawn again on terminals; lines of a log elsewhere."""

from __future__ import annotations

import shutil
import time
from typing import Any, TextIO

from fastbp.studies.folder import STATES
from fastbp.studies.table import Row, ranked
from fastbp.train.progress import BAR, GAP, SILENCE, Out, clock, even, number

BEST = 5  # trials that are shown, at most
TENTHS = 10  # lines of a log, about
DRAWN = 0.2  # seconds between drawings


class Board(Out):
    """Draws a study."""

    def __init__(self, total: int, measure: str, out: TextIO | None = None, quiet: bool = False) -> None:
        super().__init__(out, quiet)
        self.total, self.measure = total, measure
        self._begun = time.perf_counter()
        self._before: int | None = None
        self._drawn, self._tenth, self._lines, self._said = 0.0, -1, 0, ""

    def draw(self, frozen: list[Any], upwards: bool, last: bool = False) -> int:
        """Show these trials of Optuna; returns how many have ended."""
        states = [STATES[one.state.name] for one in frozen]
        count = {state: states.count(state) for state in ("complete", "pruned", "failed")}
        ended, running = sum(count.values()), len(frozen) - sum(count.values())
        if self._before is None:
            self._before = ended
        now = time.perf_counter()
        if self.quiet or (self.live and not last and now - self._drawn < DRAWN):
            return ended
        tenth = TENTHS * ended // max(self.total, 1)
        if not self.live and not last and tenth <= self._tenth and now - self._drawn < SILENCE:
            return ended
        rows = ranked(frozen, upwards)
        parts = [f"{ended}/{self.total} trials"]
        parts += [f"{n} {name}" for name, n in (("running", running), *list(count.items())[1:]) if n]
        if self.live:
            self._show(rows, ended, parts, now)
        else:
            best = f", best {self.measure}={number(rows[0].value)} of trial {rows[0].number}" if _has_best(rows) else ""
            said = ", ".join(parts) + best
            if said != self._said and ended:
                self._write(f"{said}, {clock(now - self._begun)}\n")
            self._said = said
        self._drawn, self._tenth = now, tenth
        return ended

    def _show(self, rows: list[Row], ended: int, parts: list[str], now: float) -> None:
        done = ended - (self._before or 0)
        left = clock((now - self._begun) / done * (self.total - ended)) if done else "-"
        columns, lines = shutil.get_terminal_size((100, 24))
        whole = int(BAR * ended / max(self.total, 1))
        bar = "━" * whole + "╌" * (BAR - whole)
        head = GAP.join([*parts, f"{left} left"])
        shown = f"{bar}{GAP}{head}"
        if len(shown) > columns - 1:
            shown = head[: columns - 1]
        elif self.color:
            shown = f"\x1b[32m{bar}\x1b[0m{GAP}{head}"
        best = [row for row in rows if row.state == "complete"][: max(1, min(BEST, lines - 3))]
        table = [f"trial {row.number:<5} {self.measure} {even(row.value)}{GAP}{row.about}" for row in best]
        text = [one if len(one) < columns else f"{one[: columns - 2]}…" for one in table]
        self._write(self._cleared() + "\n".join([shown, *text]))
        self._lines = 1 + len(text)

    def _cleared(self) -> str:
        up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
        return f"{up}\r\x1b[J" if self._lines else ""

    def end(self) -> None:
        """Take the lines away that are drawn again."""
        if self._lines:
            self._write(self._cleared())
            self._lines = 0


def _has_best(rows: list[Any]) -> bool:
    return bool(rows) and rows[0].state == "complete"
