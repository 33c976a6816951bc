"""What the tasks of a batch have done: each once, and with each gradient what has to be done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import PlanError
from fastbp.kernels.fields import LINE
from fastbp.lowering.check.gradients import Gradient, codes_of

Array = NDArray[Any]


class Done:
    """Counts, from the beginning of a batch: of gradients by line, kept or applied, and of tasks by table."""

    def __init__(self, tasks: Any) -> None:
        self.tasks = tasks
        lines = tasks.parameters.size // LINE
        self.kept, self.updated = np.zeros(lines, np.int64), np.zeros(lines, np.int64)
        self.ran = [np.zeros(len(table.records), np.int64) for table in tasks.plan.tasks]

    def count(self, gradients: list[Gradient], applied: bool) -> None:
        counts = self.updated if applied else self.kept
        for g in gradients:
            counts[g.offset // LINE : g.offset // LINE + len(g.must)] += 1

    def _wanted(self, rows: int, in_step: bool) -> Array:
        """Which lines have a gradient in a batch, or in a step."""
        wanted = np.zeros(self.tasks.parameters.size // LINE, np.int64)
        for layer, reducer in zip(self.tasks.layers, self.tasks.reducers, strict=True):
            for learned, lines in ((layer.weight, layer.inputs), (layer.bias, 1)):
                if learned.offset < 0:
                    continue
                first, stride = learned.offset // LINE, learned.stride // LINE
                chosen = np.arange(lines)
                if reducer == "embedding_rows":
                    codes, known = codes_of(layer, rows, self.tasks.dtype)
                    chosen = np.array(self.tasks.seen.get(layer.sums, []), np.int64) if in_step else codes[known]
                for panel in range(1 if layer.shared else layer.panels):
                    wanted[first + panel * stride + chosen] = 1
        return wanted

    def check(self, rows: int, last: bool) -> None:
        """Refuse a batch after which not every gradient has been handed over, or applied, exactly once."""
        if not self.tasks.layers:
            return
        staged, only_keeps = bool(self.tasks.plan.head.update.staged), self.tasks.plan.update.only_keeps
        if staged:
            self._compare(self.kept, self._wanted(rows, False), "kept")
        if not only_keeps:
            nothing = np.zeros(self.updated.shape, np.int64)
            wanted = self._wanted(rows, staged) if last or not staged else nothing
            self._compare(self.updated, wanted, "applied")
        for i, (table, done) in enumerate(zip(self.tasks.plan.tasks, self.ran, strict=True)):
            times = int(i == 0 or last)  # what is behind the first table waits for all gradients of a step
            for task, count in zip(table.records, done.tolist(), strict=True):
                if count != times:
                    raise PlanError(
                        f"{self.tasks.where(task.name)}: must be done {times} times in this batch, got {count} times"
                    )

    def _compare(self, counts: Array, wanted: Array, what: str) -> None:
        bad = counts != wanted
        if bad.any():
            at = int(np.argmax(bad))
            name, row, column = self.tasks.place(at * LINE)
            reducer = next(
                reducer
                for layer, reducer in zip(self.tasks.layers, self.tasks.reducers, strict=True)
                if any(
                    x.offset >= 0 and self.tasks.parameters.name_at(x.offset) == name
                    for x in (layer.weight, layer.bias)
                )
            )
            where = self.tasks.where(reducer if what == "kept" or not self.tasks.plan.head.update.staged else "update")
            raise PlanError(
                f"{where}: the gradient of `{name}` must be {what} {int(wanted[at])} times in this batch at row {row},"
                f" column {column}, got {int(counts[at])} times"
            )
