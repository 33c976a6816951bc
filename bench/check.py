"""Do the contenders compute the same thing? Nothing is timed before they do.

Each trainer takes the same steps from the same weights, twice: through `follow` on the batches in their
order, and through `run`, the loop that is timed, on a data set of one batch, where shuffling cannot matter.
Then every loss must agree, and every parameter tensor p, with q the same tensor of the first contender and s
its start:

    rms(p - q) <= TOLERANCE rms(q - s)

The distance travelled is the scale, so a contender that does nothing is wrong by 1, whatever its weights. The
mean over a tensor is needed because float32 does not determine every element: a relu whose input is within a
rounding of 0 is open in one contender and shut in the other, and the first steps of Adam are lr sign(g),
however small g is. At lr = 1e-3 such a difference grows tenfold every few steps in the widest nets, until
nothing agrees; at the lr used here it stays what it was. Only that number differs from the timed run.

Predictors answer for all rows, call by call, and once more through `run`: outputs p and those of the first contender
q agree if |p - q| <= ANSWER_TOLERANCE rms(q) everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case

Array = npt.NDArray[Any]

STEPS = 20
TIMED_STEPS = 5
LR = 1e-5
# fastbp, PyTorch, JAX and NumPy over all cases: losses within 8e-7 of each other; parameters within 2e-5
# where no relu is decided differently, 1e-2 (after a single step 4e-2) in the worst of the widest nets.
LOSS_TOLERANCE = 1e-5
TOLERANCE = 5e-2
# Sums of up to 784 terms in another order: up to 3e-6 apart.
ANSWER_TOLERANCE = 1e-4
CALLS = 3  # before the answer of the timed loop is looked at


class Trained(Protocol):
    """What is asked of a contender here."""

    losses: list[float]

    @property
    def loss(self) -> float: ...
    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None: ...
    def follow(self, steps: int) -> None: ...
    def run(self, steps: int) -> None: ...
    def parameters(self) -> list[Array]: ...


class RefusedError(Exception):
    """The contenders disagree, so the case is not timed."""


@dataclass(frozen=True)
class Outcome:
    """Where some steps led."""

    losses: list[float]
    parameters: list[Array]


def compare(
    contenders: Mapping[str, Trained], case: Case, weights: list[Array], X: Array, y: Array
) -> dict[str, float]:
    """Return name -> loss of the last step of `follow`; RefusedError unless all agree with the first."""
    standard: dict[str, Outcome] = {}
    first, losses = next(iter(contenders)), {}
    for name, contender in contenders.items():
        found = outcomes(contender, case, weights, X, y)
        standard = standard or found
        for what, outcome in found.items():
            problem = disagreement(outcome, standard[what], weights)
            if problem:
                raise RefusedError(f"case `{case.name}` is not timed: {what}, `{name}` and `{first}` {problem}")
        losses[name] = found[FOLLOW].losses[-1]
    return losses


FOLLOW = f"after {STEPS} steps on the same batches"
TIMED = f"after {TIMED_STEPS} steps of the timed loop on one batch"


def outcomes(contender: Trained, case: Case, weights: list[Array], X: Array, y: Array) -> dict[str, Outcome]:
    """Take the steps both ways."""
    gentle = replace(case, lr=LR)
    contender.prepare(gentle, weights, X, y)
    contender.follow(STEPS)
    follow = Outcome(contender.losses, contender.parameters())
    contender.prepare(gentle, weights, X[: case.batch], y[: case.batch])
    contender.run(TIMED_STEPS)
    return {FOLLOW: follow, TIMED: Outcome([contender.loss], contender.parameters())}


def disagreement(found: Outcome, expected: Outcome, start: list[Array]) -> str | None:
    """Say how two outcomes differ, or None where they agree."""
    for step, (loss, theirs) in enumerate(zip(found.losses, expected.losses, strict=True)):
        if not abs(loss - theirs) <= LOSS_TOLERANCE * abs(theirs):  # so that NaN is a difference too
            return f"have the losses {loss:.7g} and {theirs:.7g} at number {step}"
    for number, (p, q, s) in enumerate(zip(found.parameters, expected.parameters, start, strict=True)):
        layer, kind = divmod(number, 2)
        name = f"the {('weight', 'bias')[kind]} of linear layer {layer}"
        if p.shape != q.shape:
            return f"have the shapes {p.shape} and {q.shape} for {name}"
        apart, moved = rms(p - q), rms(q - s)
        if not apart <= TOLERANCE * moved:
            return f"are {apart:.2g} apart in {name}, which moved by {moved:.2g}"
    return None


class Answering(Protocol):
    """What is asked of a contender that predicts."""

    def prepare(self, case: Call, weights: list[Array], X: Array) -> None: ...
    def run(self, count: int) -> None: ...
    def answers(self) -> Array: ...
    def answer(self) -> Array: ...


def compare_answers(contenders: Mapping[str, Answering], call: Call, weights: list[Array], X: Array) -> None:
    """Raise RefusedError unless the outputs of all agree with those of the first."""
    first = next(iter(contenders))
    expected: Array | None = None
    for name, contender in contenders.items():
        contender.prepare(call, weights, X)
        found = contender.answers()
        expected = found if expected is None else expected
        contender.run(CALLS)
        start = (CALLS - 1) * call.rows % len(X)
        last = expected[start : start + call.rows]
        for what, mine, theirs in [("", found, expected), ("in the timed loop, ", contender.answer(), last)]:
            problem = difference(mine, theirs)
            if problem:
                raise RefusedError(f"call `{call.name}` is not timed: {what}`{name}` and `{first}` {problem}")


def difference(p: Array, q: Array) -> str | None:
    """Say how two arrays of outputs differ, or None where they agree."""
    if p.shape != q.shape or p.dtype != q.dtype:
        return f"answer with {p.dtype} {p.shape} and {q.dtype} {q.shape}"
    apart = np.abs(p - q)
    if not float(apart.max(initial=0.0)) <= ANSWER_TOLERANCE * rms(q):  # so that NaN is a difference too
        row, column = np.unravel_index(int(np.argmax(apart)), apart.shape)
        return f"answer {p[row, column]:.7g} and {q[row, column]:.7g} at row {row}, output {column}"
    return None


def rms(x: Array) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
