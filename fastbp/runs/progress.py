"""Progress of a run: a live line on a terminal, a line per epoch elsewhere, nothing when quiet."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, TextIO

from fastbp.errors import sentence
from fastbp.train.history import History

EVERY = 0.1  # seconds between redraws
BAR = 18


def number(value: float | None) -> str:
    """A number in few characters."""
    if value is None:
        return "-"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.3e}"


def rate(per_second: float) -> str:
    """Rows a second in few characters."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if per_second >= limit:
            return f"{per_second / limit:.1f}{unit}"
    return f"{per_second:.0f}"


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Progress:
    """Draws a run on `out`.

    Parameters
    ----------
    out : text file
    quiet : bool
        Print nothing.
    live : bool, optional
        Redraw one line; by default on terminals.
    """

    def __init__(self, out: TextIO | None = None, quiet: bool = False, live: bool | None = None) -> None:
        self.out = out if out is not None else sys.stderr
        self.quiet = quiet
        terminal = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self.live = terminal if live is None else live
        self.color = terminal and "NO_COLOR" not in os.environ
        self._drawn = 0.0
        self._shown = False

    def say(self, message: str) -> None:
        """A line that is printed even when quiet."""
        self.end()
        print(sentence(f"fastbp: {message}"), file=self.out, flush=True)

    def begin(self, run: Any, history: History) -> None:
        self._begun = time.perf_counter()
        self._epochs_before = len(history.loss)
        self._samples_before = history.samples
        self._last: dict[str, Any] = {}
        self._best = ""
        self._rows = len(run.subject.parts["train"])

    def chunk(self, run: Any, history: History) -> None:
        if self.quiet or not self.live:
            return
        now = time.perf_counter()
        if now - self._drawn >= EVERY:
            self._drawn = now
            self._draw(run, history, now)

    def epoch(self, run: Any, history: History, row: dict[str, Any], best: bool) -> None:
        self._last = row
        monitor = run.monitor.name
        if best:
            self._best = f"best {number(row[monitor])} at {row['epoch']}"
        if self.quiet:
            return
        if self.live:
            self.chunk(run, history)
            return
        values = " ".join(f"{k}={number(v)}" for k, v in row.items() if k not in ("epoch", "lr"))
        speed = rate(self._speed(history, time.perf_counter()))
        self._write(f"epoch {row['epoch']}/{run.plan.config.trainer.epochs} {values} {speed}/s{' *' * best}\n")

    def _write(self, text: str) -> None:
        """Write, ignoring a closed pipe."""
        try:
            self.out.write(text)
            self.out.flush()
        except (OSError, ValueError):
            self.quiet = True

    def _speed(self, history: History, now: float, more: int = 0) -> float:
        return (history.samples + more - self._samples_before) / max(now - self._begun, 1e-9)

    def _draw(self, run: Any, history: History, now: float) -> None:
        epochs = run.plan.config.trainer.epochs
        plan = getattr(run.trainer, "_batch_plan", None)
        inside = plan.place[1] / self._rows if plan is not None and self._rows else 0.0
        done = min(len(history.loss) + inside, epochs)
        whole = int(BAR * done / epochs)
        bar = "━" * whole + "╌" * (BAR - whole)
        since = done - self._epochs_before
        left = clock((now - self._begun) / since * (epochs - done)) if since > 0 else "-"
        values = " ".join(f"{k} {number(v)}" for k, v in self._last.items() if k not in ("epoch", "lr"))
        speed = rate(self._speed(history, now, int(inside * self._rows)))
        text = f"{int(done)}/{epochs} {left} left {values} {self._best} {speed}/s"
        width = shutil.get_terminal_size((100, 24)).columns
        text = " ".join(text.split())[: max(width - BAR - 2, 10)]
        bar = f"\x1b[32m{bar}\x1b[0m" if self.color else bar
        self._write(f"\r\x1b[2K{bar} {text}")
        self._shown = True

    def end(self) -> None:
        """End the live line."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False
