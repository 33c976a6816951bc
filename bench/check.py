"""Do the contenders compute the same thing? No case is timed before they do.

Each contender takes the same steps from the same weights, twice: through `follow` on the batches in their
order, and through `run`, the loop that is timed, on a data set of one batch, where shuffling cannot matter.
Then every loss must agree, and every parameter tensor p, with q the same tensor of the first contender and s
its start:

    rms(p - q) <= TOLERANCE rms(q - s)

The distance travelled is the scale, so a contender that does nothing is wrong by 1, whatever its weights. The
mean over a tensor is needed because float32 does not determine every element: a relu whose input is within a
rounding of 0 is open in one contender and shut in the other, and the first steps of Adam are lr sign(g),
however small g is. At lr = 1e-3 such a difference grows tenfold every few steps in the widest nets, until
nothing agrees; at the lr used here it stays what it was. Only that number differs from the timed run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bench.cases import Case

Array = npt.NDArray[Any]

STEPS = 20
TIMED_STEPS = 5
LR = 1e-5
# fastbp, PyTorch, JAX and NumPy over all cases: losses within 8e-7 of each other; parameters within 2e-5
# where no relu is decided differently, 1e-2 (after a single step 4e-2) in the worst of the widest nets.
LOSS_TOLERANCE = 1e-5
TOLERANCE = 5e-2


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


def rms(x: Array) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
