"""Kernels that compute something else: what a call has written is changed behind it, beside its twin."""

from __future__ import annotations

import re
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


def move_largest(numbers: Any) -> None:
    """Move the largest of these numbers by a thousandth of it."""
    numbers[np.unravel_index(np.argmax(np.abs(numbers)), numbers.shape)] *= 1.001


def behind_task(patch: Any, name: str, change: Callable[[Any, Any], None]) -> None:
    """Call `change(tasks, task)` behind every task of this name that is no trial, before its twin looks."""
    call = tasks.Tasks.call

    def called(own: Any, run: Any, task: Any, me: int) -> None:
        def runs() -> None:
            run()
            if not own.plan.head.step.checking:
                change(own, task)

        call(own, runs if task.name == name else run, task, me)

    patch.setattr(tasks.Tasks, "call", called)


def by_a_thousandth(output: Any) -> None:
    """Move the largest number by a thousandth of it, or by a thousandth where all are 0."""
    at = largest(output)
    number = output.memory[at]
    output.memory[at] = number * 1.001 if number else 1e-3


class Spoiler:
    """Changes what one kernel writes, from now on; a task's kernel writes the gradients that it hands over.

    Parameters
    ----------
    number : int
        Which of the outputs of a call.

    Attributes
    ----------
    done : int
        How many have been changed.
    """

    def __init__(self, patch: Any, kernel: str, number: int, change: Change = by_a_thousandth) -> None:
        self.kernel, self.number, self.change = kernel, number, change
        self.outputs: list[Any] = []
        self.task, self.done = "", 0
        self._of_twins(patch)
        self._of_lines(patch)
        self._of_tasks(patch)

    def is_kernel(self, name: str) -> bool:
        """Whether this is the kernel's name; one that ends in _ has a digest behind it."""
        return name == self.kernel or (
            self.kernel.endswith("_") and bool(re.fullmatch(f"{self.kernel}[0-9a-f]+", name))
        )

    def _kept(self, name: str, twin: Any) -> Any:
        """A twin whose outputs are kept here."""

        def keeps(*given: Any) -> Any:
            outputs = twin(*given)
            if self.is_kernel(name):
                self.outputs = list(outputs)
            return outputs

        return keeps

    def spoiled(self, run: Any) -> Any:
        def runs() -> None:
            run()
            if self.number < len(self.outputs):
                self.change(self.outputs[self.number])
                self.done += 1
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

        def called(own: Any, run: Any, name: str, head: int, me: int, *extent: int) -> None:
            lines = tasks.Lines.at(name, head, me, *extent, own.dtype)
            if self.task == self.kernel and self.number == 0 and lines.me.gradients:  # as the task hands them over
                move_largest(lines.memory(lines.me.gradients))
                self.done += 1
            trial = own.trying or own.plan.head.step.checking
            call_lines(own, run if trial else self.spoiled(run), name, head, me, *extent)

        for name in ("update", "keep", "penalty"):
            twin = getattr(tasks, name)
            patch.setattr(tasks, name, lambda lines, twin=twin: self._kept(lines.name, twin)(lines))
        patch.setattr(tasks.Tasks, "call_lines", called)

    def _of_tasks(self, patch: Any) -> None:
        call = tasks.Tasks.call

        def called(own: Any, run: Any, task: Any, me: int) -> None:
            self.task = task.name
            call(own, self.spoiled(run) if task.name in tasks.TURNS else run, task, me)

        turn = tasks.turn
        patch.setattr(tasks, "turn", lambda task, plan: self._kept(task.name, turn)(task, plan))

        patch.setattr(tasks.Tasks, "call", called)
