"""Kernels that compute something else: what a call has written is changed behind it, beside its twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.lowering.check import rows, tasks

Change = Callable[[Any], None]  # of an output


def largest(output: Any) -> tuple[int, ...]:
    """Where the number stands that is the largest of those that must be there."""
    must = np.abs(np.broadcast_to(output.must, (len(output.memory), output.memory[0].size)))
    chosen = np.isfinite(must) & output.chosen().ravel()
    return tuple(int(i) for i in np.unravel_index(np.argmax(np.where(chosen, must, -1.0)), output.memory.shape))


def by_a_thousandth(output: Any) -> None:
    """Move the largest number by a thousandth of it, or by a thousandth where all are 0."""
    at = largest(output)
    number = output.memory[at]
    output.memory[at] = number * 1.001 if number else 1e-3


class Spoiler:
    """Changes what one kernel has written, from now on; `seen` counts the outputs of its calls.

    Parameters
    ----------
    number : int
        Which of the outputs of a call.
    """

    def __init__(self, patch: Any, kernel: str, number: int, change: Change = by_a_thousandth) -> None:
        self.kernel, self.number, self.change = kernel, number, change
        self.outputs: list[Any] = []
        self._of_twins(patch)
        self._of_lines(patch)
        self._of_tasks(patch)

    def _kept(self, name: str, twin: Any) -> Any:
        """A twin whose outputs are kept here."""

        def keeps(*given: Any) -> Any:
            outputs = twin(*given)
            if name == self.kernel:
                self.outputs = list(outputs)
            return outputs

        return keeps

    def spoiled(self, run: Any) -> Any:
        def runs() -> None:
            run()
            if self.number < len(self.outputs):
                self.change(self.outputs[self.number])
            self.outputs = []

        return runs

    def _of_twins(self, patch: Any) -> None:
        """Kernels of ops."""
        twin_of, call = rows.twin_of, rows.Rows.call
        patch.setattr(rows, "twin_of", lambda name: twin_of(name) and self._kept(name, twin_of(name)))
        patch.setattr(rows.Rows, "call", lambda own, run, *given: call(own, self.spoiled(run), *given))

    def _of_lines(self, patch: Any) -> None:
        """Optimisers, penalties, and gradients that are kept: those of attempts are copies, which are left alone."""
        call_lines = tasks.Tasks.call_lines

        def called(own: Any, run: Any, name: str, *given: Any) -> None:
            self.name = name
            call_lines(own, run if own.trying or own.plan.head.step.checking else self.spoiled(run), name, *given)

        for name in ("update", "keep", "penalty"):
            twin = getattr(tasks, name)
            patch.setattr(tasks, name, lambda lines, twin=twin: self._kept(lines.name, twin)(lines))
        patch.setattr(tasks.Tasks, "call_lines", called)
        patch.setattr(tasks.Tasks, "_note", self._noting(tasks.Tasks._note))

    def _noting(self, note: Any) -> Any:
        """Gradients as a task hands them over."""

        def notes(own: Any, lines: Any) -> None:
            if self.task == self.kernel and self.number == 0:
                memory = lines.memory(lines.me.gradients)
                memory[np.unravel_index(np.argmax(np.abs(memory)), memory.shape)] *= 1.001
            note(own, lines)

        return notes

    def _of_tasks(self, patch: Any) -> None:
        call = tasks.Tasks.call

        def called(own: Any, run: Any, task: Any, me: int) -> None:
            self.task = task.name
            call(own, run, task, me)

        patch.setattr(tasks.Tasks, "call", called)
