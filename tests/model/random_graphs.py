"""Networks that are no chains, drawn at random and built twice: of signals, and as a plain function of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp as fb

KINDS = (
    *("linear", "linear", "linear", "activation", "activation", "norm", "add", "subtract", "multiply", "divide"),
    *("concat", "slice", "column", "mean", "sum", "affine", "minus", "reciprocal", "power", "shared", "residual"),
    *("gated", "softmax", "dropout", "batch_norm", "batch_norm", "layer_norm", "prelu", "scale"),
)
EPS = 0.1  # of norms, so that rows of one number and batches of one row have no slopes of hundreds
WHOLE = {
    "softmax": fb.Softmax,
    "dropout": lambda: fb.Dropout(0.25),
    "batch_norm": lambda: fb.BatchNorm(eps=EPS),
    "layer_norm": lambda: fb.LayerNorm(eps=EPS),
    "prelu": lambda: fb.PReLU(per_feature=True),
    "scale": lambda: fb.Scale(init="normal"),
}
ACTIVATIONS = ("tanh", "sigmoid", "softplus", "relu", "silu", "gelu")
LAYERS = {
    "tanh": fb.Tanh,
    "sigmoid": fb.Sigmoid,
    "softplus": fb.Softplus,
    "relu": fb.ReLU,
    "silu": fb.SiLU,
    "gelu": fb.GELU,
}


class OfSignals:
    """Builds a network."""

    def __init__(self) -> None:
        self.shared: dict[str, Any] = {}

    def linear(self, x: Any, features: int, name: str) -> Any:
        return fb.Linear(features)(x, name=name)

    def again(self, x: Any, features: int, name: str) -> Any:
        """A layer that may be used more than once."""
        return self.shared.setdefault(name, fb.Linear(features))(x, name=name)

    def activation(self, x: Any, kind: str) -> Any:
        return LAYERS[kind]()(x)

    def norm(self, x: Any) -> Any:
        return fb.LayerNorm(affine=False)(x)

    def layer(self, kind: str, x: Any, name: str) -> Any:
        return WHOLE[kind]()(x, name=name)

    def concat(self, xs: list[Any]) -> Any:
        return fb.concat(xs)

    def mean(self, x: Any) -> Any:
        return x.mean()

    def sum(self, x: Any) -> Any:
        return x.sum()


class OfArrays:
    """Computes with arrays of NumPy or JAX, and the parameters of a network."""

    def __init__(self, parameters: Any, np_: Any, activations: Any) -> None:
        self.parameters, self.np, self.activations = parameters, np_, activations

    def linear(self, x: Any, features: int, name: str) -> Any:
        if f"{name}.weight" not in self.parameters:  # no output depends on it
            return self.np.zeros((x.shape[0], features))
        return x @ self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    again = linear

    def activation(self, x: Any, kind: str) -> Any:
        return self.activations[kind](x)

    def layer(self, kind: str, x: Any, name: str) -> Any:
        """As in inference: nothing is dropped, and running statistics are those of the beginning."""
        if kind == "softmax":
            e = self.np.exp(x - x.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
        if kind == "dropout" or f"{name}.weight" not in self.parameters:
            return x
        w = self.parameters[f"{name}.weight"]
        if kind == "prelu":
            return self.np.where(x > 0.0, x, w * x)
        if kind == "scale":
            return w * x
        n = self.norm(x, EPS) if kind == "layer_norm" else x / np.sqrt(1.0 + EPS)
        return n * w + self.parameters[f"{name}.bias"]

    def norm(self, x: Any, eps: float = 1e-5) -> Any:
        centered = x - x.mean(axis=1, keepdims=True)
        return centered / self.np.sqrt((centered * centered).mean(axis=1, keepdims=True) + eps)

    def concat(self, xs: list[Any]) -> Any:
        return self.np.concatenate(xs, axis=1)

    def mean(self, x: Any) -> Any:
        return x.mean(axis=1, keepdims=True)

    def sum(self, x: Any) -> Any:
        return x.sum(axis=1, keepdims=True)


def input_widths(seed: int) -> list[int]:
    return [int(w) for w in np.random.default_rng([seed, 1]).integers(1, 20, size=1 + seed % 3)]


def outputs_of(seed: int, world: Any, inputs: list[Any]) -> list[Any]:
    """The outputs of network number `seed` for these inputs, one to three."""
    rng = np.random.default_rng([seed, 2])
    values = list(zip(inputs, input_widths(seed), strict=True))
    for i in range(6 + seed % 9):
        values.append(_grown(rng, world, values, str(rng.choice(KINDS)), f"n{i}"))
    count = 1 + seed // 3 % 3
    outputs = []
    for i, (value, _) in enumerate(values[-count:]):  # some are what others read too
        wide, as_it_is = int(rng.integers(1, 6)), rng.random() < 0.3
        outputs.append(value if as_it_is else world.linear(world.activation(value, "tanh"), wide, f"out{i}"))
    return outputs


def _grown(rng: Any, world: Any, values: list[Any], kind: str, name: str) -> Any:
    """One value more, and its width."""
    x, width = values[-1] if rng.random() < 0.5 else values[rng.integers(len(values))]
    wide = int(rng.integers(1, 24))
    if kind == "linear":
        return world.linear(x, wide, name), wide
    if kind == "activation":
        return world.activation(x, str(rng.choice(ACTIVATIONS))), width
    if kind in WHOLE:
        return world.layer(kind, x, name), width
    if kind == "norm":
        return world.norm(world.linear(x, wide + 2, name)), wide + 2
    if kind in ("add", "subtract", "multiply", "divide"):
        y, other = values[rng.integers(len(values))]
        if other not in (1, width) and width != 1:
            y, other = world.linear(y, width, name), width
        wide = max(width, other)
        if kind == "add":
            return x + y, wide
        if kind == "subtract":
            return x - y, wide
        if kind == "multiply":
            return world.activation(x, "tanh") * y, wide
        return x / (world.activation(y, "softplus") + 1.0), wide
    if kind == "concat":
        chosen = [values[j] for j in rng.integers(len(values), size=2 + int(rng.integers(2)))]
        return world.concat([v for v, _ in chosen]), sum(w for _, w in chosen)
    if kind == "slice":
        start = int(rng.integers(width))
        stop = int(rng.integers(start + 1, width + 1))
        return x[:, start:stop], stop - start
    if kind == "column":
        at = int(rng.integers(width))
        return x[:, at : at + 1], 1
    if kind == "mean":
        return world.mean(x), 1
    if kind == "sum":
        return world.activation(world.sum(x), "tanh"), 1
    if kind == "affine":
        return 0.5 * x + 0.25, width
    if kind == "minus":
        return 1.0 - x / 2.0, width
    if kind == "reciprocal":
        return 2.0 / (world.activation(x, "softplus") + 0.5), width
    if kind == "power":
        return world.activation(x, "tanh") ** 3, width
    if kind == "shared":
        x = world.linear(x, 7, name)
        y = world.activation(world.again(x, 7, "shared"), "tanh")
        return world.again(y, 7, "shared"), 7
    if kind == "residual":
        return x + world.linear(world.activation(world.linear(x, wide, name), "relu"), width, f"{name}b"), width
    return world.linear(x, wide, name) * world.activation(world.linear(x, wide, f"{name}b"), "sigmoid"), wide


def network(seed: int, dtype: str = "float64") -> fb.Network:
    signals = [fb.Input(w) for w in input_widths(seed)]
    outputs = outputs_of(seed, OfSignals(), signals)
    return fb.Network(inputs=signals, outputs=outputs, seed=seed, dtype=dtype)
