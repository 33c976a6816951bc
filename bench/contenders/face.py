"""What the bench asks of a contender.

Trainers start from the same weights and take the same batches X[s B : (s+1) B], s counting up and round again; only
fastbp's timed run shuffles its rows, the rivals are spared that work.

Predictors are handed small inputs in the form that their library likes best, made beforehand; a large table as it
lies in memory. Outputs are whatever array the library returns, but complete when the call has returned.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case

Array = npt.NDArray[Any]


class Contender:
    """A library at work.

    Attributes
    ----------
    name : str
    modules : tuple of str
        What must be installed.
    """

    name = ""
    modules: tuple[str, ...] = ()

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @classmethod
    def available(cls) -> bool:
        """Whether its libraries are installed."""
        return all(find_spec(module) is not None for module in cls.modules)

    def versions(self) -> dict[str, str]:
        """The versions that its speed depends on."""
        return {module: version(module) for module in self.modules}

    def run(self, count: int) -> None:
        """Do that many steps or calls: this is what is timed."""
        raise NotImplementedError

    @property
    def team(self) -> int:
        """How many threads it uses now."""
        return self.threads


class Trainer(Contender):
    """A way to train a net.

    Attributes
    ----------
    losses : list of float
        The loss of each step of the last `follow`, each before its update.
    loss : float
        The loss of the last step, before its update.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.losses: list[float] = []

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        """Start anew from weights [W, b, W, b, ...] on the data set X, y."""
        raise NotImplementedError

    @property
    def loss(self) -> float:
        raise NotImplementedError

    def follow(self, steps: int) -> None:
        """Train for that many steps on the batches in their order and keep their losses."""
        self.losses = []
        for _ in range(steps):
            self.run(1)
            self.losses.append(self.loss)

    def parameters(self) -> list[Array]:
        """Return [W, b, W, b, ...], W in its natural (I, O) shape."""
        raise NotImplementedError


class Predictor(Contender):
    """A way to use a net.

    Attributes
    ----------
    predict : callable
        From a portion of the rows to their outputs.
    portions : list
        The portions of the data set, each the rows of a call.
    """

    predict: Callable[[Any], Any]
    portions: list[Any]

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        """Make `predict` of weights [W, b, W, b, ...], and `portions` of X."""
        raise NotImplementedError

    def run(self, count: int) -> None:
        predict, portions, many = self.predict, self.portions, len(self.portions)
        for number in range(count):
            self.last = predict(portions[number % many])

    def answers(self) -> Array:
        """The outputs for all rows."""
        out = []
        for portion in self.portions:
            self.portions, whole = [portion], self.portions
            self.run(1)
            self.portions = whole
            out.append(self.answer())
        return np.concatenate(out)

    def answer(self) -> Array:
        """A copy of the outputs of the last call."""
        return np.array(self.last)


def portions_of(call: Call, X: Array) -> list[Array]:
    """The rows of each call."""
    return [X[start : start + call.rows] for start in range(0, len(X), call.rows)]


def pairs_of(weights: list[Array]) -> list[tuple[Array, Array]]:
    """(W, b) of each layer."""
    return list(zip(weights[::2], weights[1::2], strict=True))
