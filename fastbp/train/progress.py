"""Progress of a run: a live line on a terminal, lines at intervals elsewhere, nothing when quiet.

The live line gives what is left out on narrow terminals in this order: first the bar, then what stands rightmost, and
the best epoch last.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any, TextIO

from fastbp.errors import line
from fastbp.train.history import History

EVERY = 0.1  # seconds between redraws
BAR = 18
GAP = "  "  # between the parts of the live line
LINES = 100  # of a log, about, however many epochs there are
SILENCE = 10.0  # seconds after which a log gets a line at the end of an epoch
LONG_SILENCE = 60.0  # seconds after which it gets one within an epoch


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
    """A time with its unit: seconds, minutes and seconds, or hours with both.

    Examples
    --------
    >>> clock(12.4), clock(65.0), clock(3725.0)
    ('12 s', '1:05 min', '1:02:05 h')
    """
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def even(value: float | None) -> str:
    """A number with four digits, even if the last are zeros, of one width for all that are usual.

    Examples
    --------
    >>> [even(v) for v in (0.00975, 0.5, 12.0, None)]
    ['0.009750', '0.5000  ', '12.00   ', '-       ']
    """
    if value is None or value == 0.0:
        text = number(value)
    else:
        text = f"{value:#.4g}" if 1e-4 <= abs(value) < 1e4 else f"{value:.3e}"
    return text.ljust(8)


def fitted(bar: str, parts: list[str], width: int) -> tuple[str, list[str]]:
    """What of a live line fits into a width: without the bar if need be, then without the last parts.

    Examples
    --------
    >>> fitted("---", ["1/9", "best 1", "2 s left"], 26)
    ('---', ['1/9', 'best 1', '2 s left'])
    >>> fitted("---", ["1/9", "best 1", "2 s left"], 25)
    ('', ['1/9', 'best 1', '2 s left'])
    >>> fitted("---", ["1/9", "best 1", "2 s left"], 20)
    ('', ['1/9', 'best 1'])
    """
    whole = len(GAP.join(parts))
    if len(bar) + len(GAP) + whole <= width:
        return bar, parts
    while len(parts) > 1 and len(GAP.join(parts)) > width:
        parts = parts[:-1]
    return "", parts


def interval(epochs: int) -> int:
    """Epochs from one line of a log to the next: 1, 2, 5, 10, ...

    Examples
    --------
    >>> [interval(n) for n in (6, 100, 101, 1500, 100000)]
    [1, 1, 2, 20, 1000]
    """
    step = 1
    for factor in (2, 2.5, 2) * 20:
        if step * LINES >= epochs:
            break
        step = int(step * factor)
    return step


class Out:
    """A text file on which progress is shown, and how.

    Parameters
    ----------
    out : text file
    quiet : bool
        Print nothing.
    live : bool, optional
        Redraw; by default on terminals.
    """

    def __init__(self, out: TextIO | None = None, quiet: bool = False, live: bool | None = None) -> None:
        self.out = out if out is not None else sys.stderr
        self.quiet = quiet
        terminal = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self.live = terminal if live is None else live
        self.color = terminal and "NO_COLOR" not in os.environ

    def say(self, message: str) -> None:
        """A line that is printed even when quiet."""
        self.end()
        print(line(f"fastbp: {message}"), file=self.out, flush=True)

    def end(self) -> None:
        """Take away what is drawn again, which here is nothing."""

    def _write(self, text: str) -> None:
        """Write, ignoring a closed pipe."""
        try:
            self.out.write(text)
            self.out.flush()
        except (OSError, ValueError):
            self.quiet = True


class Progress(Out):
    """Draws a run: one line that is drawn again, or lines of a log."""

    def __init__(self, out: TextIO | None = None, quiet: bool = False, live: bool | None = None) -> None:
        super().__init__(out, quiet, live)
        self._drawn = 0.0
        self._shown = False
        self._history: History | None = None

    def begin(self, history: History, trainer: Any, epochs: int, rows: int, monitor: str) -> None:
        """Before a fit of so many epochs of so many rows; `monitor` is the measure whose best is shown."""
        self._begun = self._drawn = time.perf_counter()
        self._trainer, self._epochs, self._rows = trainer, epochs, rows
        self._history, self._monitor = history, monitor
        self._epochs_before = len(history.loss)
        self._samples_before = history.samples
        self._last: dict[str, Any] = {}
        self._written = 0  # the last epoch with a line of a log
        self._best: tuple[float, int] | None = None
        self._widest: dict[str, int] = {}
        if self.live:
            self._drawn = 0.0

    def chunk(self, history: History) -> None:
        if self.quiet:
            return
        now = time.perf_counter()
        if now - self._drawn < (EVERY if self.live else LONG_SILENCE):
            return
        self._drawn = now
        done, speed = self._done(history, now)
        if self.live:
            self._draw(done, speed, now)
        else:
            at = int(done) + 1
            self._write(f"epoch {at}/{self._epochs} {done % 1:.0%} done, {self._left(done, now)} left, {speed}\n")

    def epoch(self, history: History, row: dict[str, Any], best: bool) -> None:
        self._last = row
        if best:
            self._best = row[self._monitor], row["epoch"]
        if self.quiet:
            return
        if self.live:
            self.chunk(history)
            return
        now = time.perf_counter()
        at = row["epoch"]
        if at in (1, self._epochs) or at % interval(self._epochs) == 0 or now - self._drawn >= SILENCE:
            self._drawn = now
            self._write_last(history.samples, now)

    def _write_last(self, samples: float, now: float, more: str = "") -> None:
        """The line of the last epoch, and more below it."""
        row = self._last
        values = " ".join(f"{k}={number(v)}" for k, v in row.items() if k not in ("epoch", "lr"))
        speed = self._speed(samples, now)
        self._write(f"epoch {row['epoch']}/{self._epochs} {values}{self._best_words()}, {speed}\n{more}")
        self._written = row["epoch"]

    def _best_words(self) -> str:
        return f", best {number(self._best[0])} at {self._best[1]}" if self._best else ""

    def _speed(self, samples: float, now: float) -> str:
        return f"{rate((samples - self._samples_before) / max(now - self._begun, 1e-9))} rows/s"

    def _done(self, history: History, now: float) -> tuple[float, str]:
        """Epochs done, with the part of the one that has begun, and the speed."""
        plan = getattr(self._trainer, "_batch_plan", None)
        inside = plan.place[1] / self._rows if plan is not None and self._rows else 0.0
        speed = self._speed(history.samples + inside * self._rows, now)
        return min(len(history.loss) + inside, self._epochs), speed

    def _left(self, done: float, now: float) -> str:
        since = done - self._epochs_before
        return clock((now - self._begun) / since * (self._epochs - done)) if since > 0 else "-"

    def _draw(self, done: float, speed: str, now: float) -> None:
        digits = len(str(self._epochs))
        parts = {"count": f"{int(done):{digits}}/{self._epochs}"}
        if self._best:
            parts["best"] = f"best {even(self._best[0])} at {self._best[1]:<{digits}}"
        parts["left"] = f"{self._left(done, now):>8} left"
        parts |= {k: f"{k} {even(v)}" for k, v in self._last.items() if k not in ("epoch", "lr")}
        parts["speed"] = f"{speed:>13}"
        for name, text in parts.items():  # as wide as it ever was, so that nothing jumps
            self._widest[name] = wide = max(len(text), self._widest.get(name, 0))
            parts[name] = text.rjust(wide) if name in ("left", "speed") else text.ljust(wide)
        whole = int(BAR * done / self._epochs)
        bar = "━" * whole + "╌" * (BAR - whole)
        width = shutil.get_terminal_size((100, 24)).columns - 1
        bar, shown = fitted(bar, list(parts.values()), width)
        text = GAP.join(shown)[:width]
        if bar:
            bar = (f"\x1b[32m{bar}\x1b[0m" if self.color else bar) + GAP
        self._write(f"\r\x1b[2K{bar}{text}")
        self._shown = True

    def stopped(self) -> None:
        """End the live line, and leave one that says how far the run has come."""
        self.end()
        if self._history is not None and not self.quiet:
            self._write(f"stopped after epoch {len(self._history.loss)} of {self._epochs}{self._best_words()}\n")

    def leave(self, history: History) -> None:
        """End the live line, and leave the last epoch in its place, with the reason if the fit ended early."""
        self.end()
        new = self._last and self._written < self._last["epoch"]
        why = line(f"stopped because {history.stopped}") + "\n" if history.stopped else ""
        if new:
            self._write_last(history.samples, time.perf_counter(), why)
        elif why:
            self._write(why)

    def end(self) -> None:
        """End the live line."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False
