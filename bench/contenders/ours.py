"""fastbp: `Trainer.run`, shuffling included, and `Network.predict`."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.contenders import residual
from bench.contenders.face import Predictor, Trainer, portions_of

Array = npt.NDArray[Any]


class OurTrainer(Trainer):
    """`Trainer.run`; on batches in a given order, `Trainer.step`."""

    name = "fastbp"
    modules = ("fastbp",)

    def versions(self) -> dict[str, str]:
        return own_versions()

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        fb = importlib.import_module("fastbp")
        if case.residual:
            self.net, layers = residual.of_fastbp(case)
            self.names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
        else:
            self.net = fb.mlp(list(case.sizes), activation="relu", seed=0)
            self.names = names_of_chain(len(case.layers))
        for name, weight in zip(self.names, weights, strict=True):
            self.net.parameters[name] = weight
        self.trainer = fb.Trainer(
            self.net,
            loss=case.loss,
            optimizer=fb.Adam(lr=case.lr),
            batch_size=case.batch,
            threads=self.threads,
        )
        self.X, self.y, self.batch = X, y, case.batch

    def run(self, steps: int) -> None:
        self.history = self.trainer.run(self.X, self.y, steps=steps)

    @property
    def loss(self) -> float:
        return float(self.history.loss[-1])

    @property
    def team(self) -> int:
        """The threads of the last call: the trainer chooses them by what it measures."""
        return int(self.trainer._pace.threads)

    def follow(self, steps: int) -> None:
        starts = np.arange(steps) * self.batch % len(self.X)
        self.losses = [float(self.trainer.step(self.X[s : s + self.batch], self.y[s : s + self.batch])) for s in starts]

    def parameters(self) -> list[Array]:
        return [np.asarray(self.net.parameters[name]) for name in self.names]


class OurPredictor(Predictor):
    """`net.predict(X)` and `net.predict(X, out=out)`."""

    name = "fastbp"
    modules = ("fastbp",)

    def versions(self) -> dict[str, str]:
        return own_versions()

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        fb = importlib.import_module("fastbp")
        net, threads = fb.mlp(list(call.sizes), activation="relu", seed=0), self.threads
        for name, weight in zip(names_of_chain(len(weights) // 2), weights, strict=True):
            net.parameters[name] = weight
        self.portions = portions_of(call, X)
        if call.out:
            out = np.empty((call.rows, call.sizes[-1]), np.float32)
            self.predict = lambda x: net.predict(x, out=out, threads=threads)
        else:
            self.predict = lambda x: net.predict(x, threads=threads)


def names_of_chain(layers: int) -> list[str]:
    """The parameters of a chain with relus, which count as layers too: those of number 0, 2, 4 ..."""
    return [f"{2 * layer}.{kind}" for layer in range(layers) for kind in ("weight", "bias")]


def own_versions() -> dict[str, str]:
    fb = importlib.import_module("fastbp")
    return {"fastbp": str(getattr(fb, "__version__", "unknown")), "numba": version("numba")}
