"""Plain NumPy: `fastbp.reference.MLP` trains, a loop over the layers predicts."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.cases import Case
from bench.contenders import residual
from bench.contenders.face import Predictor, Trainer, pairs_of, portions_of

Array = npt.NDArray[Any]


class PlainTrainer(Trainer):
    """`fastbp.reference.MLP`: the same mathematics in plain NumPy."""

    name = "numpy"
    modules = ("numpy", "fastbp")

    def versions(self) -> dict[str, str]:
        return versions_of_numpy()

    def prepare(self, case: Case, weights: list[Array], X: Array, y: Array) -> None:
        reference = importlib.import_module("fastbp.reference")
        layers: list[Any] = []
        for W, b in pairs_of(weights):
            layers += [("linear", W, b), ("relu",)]
        plain = not case.residual
        self.net = reference.MLP(layers[:-1], loss=case.loss) if plain else residual.of_numpy(weights, case.loss)
        self.optimizer = functools.partial(reference.adam, lr=case.lr)
        self.X, self.y, self.batch, self.start = X, y, case.batch, 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            rows = slice(self.start, self.start + self.batch)
            self.last = self.net.step(self.X[rows], self.y[rows], self.optimizer)
            self.start = (self.start + self.batch) % len(self.X)

    @property
    def loss(self) -> float:
        return float(self.last)

    def parameters(self) -> list[Array]:
        return [np.array(array) for array in self.net.parameters.values()]


class PlainPredictor(Predictor):
    """`x @ W`, and all else in place; with a buffer of the caller's, into buffers made beforehand."""

    name = "numpy"
    modules = ("numpy",)

    def versions(self) -> dict[str, str]:
        return versions_of_numpy()

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        layers = pairs_of(weights)
        made = [np.empty((call.rows, b.size), np.float32) if call.out else None for _, b in layers]

        def predict(x: Array) -> Array:
            for number, ((W, b), out) in enumerate(zip(layers, made, strict=True), 1):
                x = np.matmul(x, W, out=out)
                np.add(x, b, out=x)
                if number < len(layers):
                    np.maximum(x, 0.0, out=x)
            return x

        self.predict, self.portions = predict, portions_of(call, X)


def versions_of_numpy() -> dict[str, str]:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"numpy": np.__version__, "numpy's BLAS": f"{blas['name']} {blas['version']}"}
