"""What is said of a table that is streamed: that it is, how far each pass has come, and where its rows are."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from fastbp.config.build import Plan
from fastbp.config.schema import Data
from fastbp.config.text import as_yaml
from fastbp.data.streamed import Told, streams
from fastbp.runs.folder import RunFolder
from fastbp.runs.stopping import TIME_IS_UP, Signals, Stopped
from fastbp.runs.subject import absolute
from fastbp.train.progress import EVERY, SILENCE, Out, clock, rate

WORDS = {"reading": "reading the table", "fitting": "fitting columns", "preparing": "preparing rows"}


class Passes(Told):
    """Draws passes over a table; a stop between two blocks leaves what another run goes on with."""

    def __init__(self, out: Out, signals: Signals | None = None, plan: Plan | None = None, begun: float = 0.0) -> None:
        super().__init__(self._pass, self._say)
        self.out, self.signals, self.plan, self.run_begun = out, signals, plan, begun
        self.name, self.begun, self.drawn, self.first = "", 0.0, 0.0, 0

    def _say(self, text: str) -> None:
        if not self.out.quiet:
            self.out.say(text)

    def _pass(self, name: str, done: float, rows: int) -> None:
        if self.signals is not None:
            self.signals.check()
        now = time.perf_counter()
        limit = None if self.plan is None else self.plan.time_limit
        if limit is not None and now - self.run_begun >= limit:
            raise Stopped(f"the time limit of {limit:g} seconds is reached", TIME_IS_UP)
        if name != self.name:
            self.name, self.begun, self.first, self.from_ = name, now, rows, done
            self.drawn = now if self.out.live else now - SILENCE + 1.0
        if self.out.quiet or now - self.drawn < (EVERY if self.out.live else SILENCE):
            if done >= 1.0:
                self._end()
            return
        self.drawn = now
        since = done - self.from_
        left = clock((now - self.begun) / since * (1.0 - done)) if since > 0.0 else "-"
        speed = rate((rows - self.first) / max(now - self.begun, 1e-9))
        self._draw(f"{WORDS[name]}, {done:.0%} done, {left} left, {rows:,} rows, {speed} rows/s")
        if done >= 1.0:
            self._end()

    def _draw(self, text: str) -> None:
        self.out._write(f"\r\x1b[2K{text}" if self.out.live else text + "\n")

    def _end(self) -> None:
        if self.out.live and not self.out.quiet:
            self.out._write("\r\x1b[2K")


def note_begun(plan: Plan, folder: RunFolder) -> None:
    """Write the configuration as it was given before a table is streamed, so that a run that is killed then goes on."""
    if folder.config.is_file() or streams(plan.config.data) is None:
        return
    data = dict(plan.text.data)
    data["data"] = absolute({"data": {**msgspec.to_builtins(Data()), **data["data"]}})["data"]
    data["data"] = {key: value for key, value in data["data"].items() if key in plan.text.data["data"]}
    folder.write(folder.begun, as_yaml(data), lasting=True)


def judged_on(subject: Any) -> dict[str, Any]:
    """For each part that is measured on some of its rows, how many these are, and all."""
    found = {
        name: [len(part), len(subject.parts[name])]
        for name, part in subject.judged.items()
        if len(part) < len(subject.parts[name])
    }
    return {"judged": found} if found else {}
