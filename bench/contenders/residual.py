"""Residual nets for the contenders: h = W x + b, blocks h ← h + W₂ relu(W₁ h + b₁) + b₂, then the outputs W h + b."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cases import Case

Array = npt.NDArray[Any]


def of_fastbp(case: Case) -> tuple[Any, list[str]]:
    """The network, and the names of its linear layers in order."""
    fb = importlib.import_module("fastbp")
    names = [f"linear{i}" for i in range(len(case.layers))]
    x = fb.Input(case.sizes[0])
    h = fb.Linear(case.sizes[1])(x, name=names[0])
    for i in range(1, len(case.layers) - 1, 2):
        inside = fb.relu(fb.Linear(case.sizes[i + 1])(h, name=names[i]))
        h = h + fb.Linear(case.sizes[i + 2])(inside, name=names[i + 1])
    return fb.Network(inputs=x, outputs=fb.Linear(case.sizes[-1])(h, name=names[-1])), names


def of_torch(case: Case) -> Any:
    """A module whose parameters come in the order of the layers."""
    torch = importlib.import_module("torch")

    class Residual(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(i, o) for i, o in case.layers])

        def forward(self, x: Any) -> Any:
            h = self.layers[0](x)
            for i in range(1, len(self.layers) - 1, 2):
                h = h + self.layers[i + 1](torch.relu(self.layers[i](h)))
            return self.layers[-1](h)

    return Residual()


def in_jax(p: list[Any], x: Any, relu: Any) -> Any:
    """The outputs for parameters [W, b, W, b, ...]."""

    def linear(layer: int, x: Any) -> Any:
        return x @ p[2 * layer] + p[2 * layer + 1]

    count = len(p) // 2
    h = linear(0, x)
    for i in range(1, count - 1, 2):
        h = h + linear(i + 1, relu(linear(i, h)))
    return linear(count - 1, h)


def of_numpy(weights: list[Array], loss: str) -> Any:
    """`fastbp.reference.MLP` with the additions: at the end of a block, and of cotangents where it begins."""
    reference = importlib.import_module("fastbp.reference")
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    layers: list[Any] = [("linear", *pairs[0])]
    ends = set()
    for first, second in zip(pairs[1:-1:2], pairs[2:-1:2], strict=True):
        layers += [("linear", *first), ("relu",), ("linear", *second)]
        ends.add(len(layers) - 1)

    class Residual(reference.MLP):  # type: ignore[misc, name-defined]
        def _forward(self, X: Array, step: Any, seed: int) -> Any:
            values = [np.asarray(X, self.theta.dtype)]
            for node, layer in enumerate(self.layers):
                x = values[-1]
                if layer[0] == "relu":
                    values.append(reference.relu_forward(x))
                    continue
                z = reference.linear_forward(x, self.parameters[f"{node}.weight"], self.parameters[f"{node}.bias"])
                values.append(z + values[node - 2] if node in ends else z)
            return values, {}

        def _backward(self, values: list[Array], kept: Any, u: Array, bottom: int) -> Array:
            past: dict[int, Array] = {}
            for node in range(len(self.layers) - 1, -1, -1):
                if node in ends:
                    past[node - 2] = u
                if self.layers[node][0] == "relu":
                    u = reference.relu_vjp(u, values[node + 1])
                    continue
                np.matmul(values[node].T, u, out=self._gradients[f"{node}.weight"])
                u.sum(axis=0, out=self._gradients[f"{node}.bias"])
                if node:
                    u = u @ self.parameters[f"{node}.weight"].T
                    u = u + past[node] if node in past else u
            return u

    return Residual([*layers, ("linear", *pairs[-1])], loss=loss)
