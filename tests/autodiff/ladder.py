"""Every gate as a function of arrays, with the numbers that it is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastbp as fb

COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")


@dataclass(frozen=True)
class Rung:
    """A gate.

    Attributes
    ----------
    function : callable
        Of arrays or traced values.
    inputs : tuple of str
        What kind of numbers: "any", "positive", "above" (more than -1), "apart" (far from 0 and from each other),
        "whole" (so that some are equal).
    smooth : bool
        Whether differences approximate its derivative.
    matrices : bool
        Whether it is only for matrices.
    """

    function: Callable[..., Any]
    inputs: tuple[str, ...] = ("any",)
    smooth: bool = True
    matrices: bool = False


LADDER = {
    "add": Rung(np.add, ("any", "any")),
    "subtract": Rung(np.subtract, ("any", "any")),
    "multiply": Rung(np.multiply, ("any", "any")),
    "divide": Rung(np.divide, ("any", "apart")),
    "power": Rung(np.power, ("positive", "any")),
    "negate": Rung(np.negative),
    "exp": Rung(np.exp),
    "expm1": Rung(np.expm1),
    "log": Rung(np.log, ("positive",)),
    "log1p": Rung(np.log1p, ("above",)),
    "sqrt": Rung(np.sqrt, ("positive",)),
    "sin": Rung(np.sin),
    "cos": Rung(np.cos),
    "arctan": Rung(np.arctan),
    "tanh": Rung(np.tanh),
    "sigmoid": Rung(fb.sigmoid),
    "softplus": Rung(fb.softplus),
    "erf": Rung(fb.erf),
    "relu": Rung(fb.relu, ("apart",)),
    "abs": Rung(np.abs, ("apart",)),
    "sign": Rung(np.sign, ("apart",)),
    "maximum": Rung(np.maximum, ("apart", "any")),
    "minimum": Rung(np.minimum, ("apart", "any")),
    "hypot": Rung(np.hypot, ("apart", "any")),
    "where": Rung(lambda c, x, y: np.where(c > 0.0, x, y), ("apart", "any", "any")),
    **{name: Rung(getattr(np, name), ("whole", "whole"), smooth=False) for name in COMPARISONS},
    "sum": Rung(lambda x: np.sum(x, axis=-1) + np.sum(x) + np.sum(x, axis=0).sum()),
    "spread": Rung(lambda x: x + np.sum(x, axis=-1, keepdims=True) + np.sum(x)),
    "reshape": Rung(lambda x: np.reshape(x, -1) * 2.0),
    "transpose": Rung(lambda x: np.transpose(x) * 2.0),
    "take": Rung(lambda x: x[..., ::-2] * x[..., :1]),
    "place": Rung(lambda x: np.concatenate([x, x[..., -1:] * x], axis=-1)),
    "tied": Rung(lambda x: np.max(x, axis=-1) * 2.0 + np.min(x, axis=-1) * np.max(x)),
    "matmul": Rung(lambda x: np.matmul(x, np.transpose(x)), matrices=True),
}


def numbers(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    x = rng.normal(size=shape)
    if kind == "positive":
        return np.abs(x) + 0.1
    if kind == "above":
        return np.abs(x) - 0.9
    if kind == "apart":
        return x + np.sign(x) * 0.2
    return np.round(x) if kind == "whole" else x


def arguments(name: str, shape: tuple[int, ...], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng((seed, *shape, len(name)))
    return [numbers(kind, shape, rng) for kind in LADDER[name].inputs]
