"""A network and its loss in gates: what derivatives of derivatives are taken of.

The sweeps know the first derivative of every layer. A product with the Hessian, H v = ∂/∂s ∇L(θ + s v), is the tangent
of the gradient, forward over reverse (Pearlmutter, 1994); both walks are done by the table of gates, over the formulas
that stand here once more in terms of traced values. Dropout does nothing, and batch norm takes its running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log, pi, sqrt
from typing import Any

import numpy as np

from fastbp.autodiff.functions import erf, relu, sigmoid, softplus
from fastbp.autodiff.graph import Graph as Gates
from fastbp.autodiff.program import Program
from fastbp.autodiff.tracer import Tracer
from fastbp.autodiff.walk import pull, push
from fastbp.kernels.activations import ALPHA, CUBIC, LAMBDA
from fastbp.model import custom
from fastbp.model.graph import INPUT, Graph, Node, column_of
from fastbp.model.losses import Loss, Targets
from fastbp.model.lowering import computing

Values = Mapping[str, Any]  # parameters and states by name
Formula = Callable[[Any, Any], Any]


def elu(x: Any, a: float) -> Any:
    return np.where(x > 0.0, x, a * np.expm1(np.minimum(x, 0.0)))


def gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + CUBIC * x**3)))


# Of activations: the layer and x to y.
ACTIVATIONS: dict[str, Formula] = {
    "identity": lambda layer, x: x,
    "dropout": lambda layer, x: x,
    "relu": lambda layer, x: relu(x),
    "leaky_relu": lambda layer, x: np.where(x > 0.0, x, layer.negative_slope * x),
    "elu": lambda layer, x: elu(x, layer.alpha),
    "selu": lambda layer, x: LAMBDA * elu(x, ALPHA),
    "gelu": lambda layer, x: x * (0.5 + 0.5 * erf(x * sqrt(0.5))),
    "gelu_tanh": lambda layer, x: gelu_tanh(x),
    "silu": lambda layer, x: x * sigmoid(x),
    "mish": lambda layer, x: x * np.tanh(softplus(x)),
    "softplus": lambda layer, x: softplus(layer.beta * x) / layer.beta,
    "softsign": lambda layer, x: x / (1.0 + np.abs(x)),
    "sigmoid": lambda layer, x: sigmoid(x),
    "hard_sigmoid": lambda layer, x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    "tanh": lambda layer, x: np.tanh(x),
    "hardtanh": lambda layer, x: np.clip(x, layer.min_val, layer.max_val),
    "custom": lambda layer, x: custom.applied(layer.formula, ("x",), x),
    "affine": lambda layer, x: layer.factor * x + layer.shift,
    "reciprocal": lambda layer, x: layer.numerator / x,
    "softmax": lambda layer, x: np.exp(x - log_sum_exp(x)),
    "log_softmax": lambda layer, x: x - log_sum_exp(x),
    "sum": lambda layer, x: x.sum(axis=1, keepdims=True),
    "mean": lambda layer, x: x.mean(axis=1, keepdims=True),
    "slice": lambda layer, x: x[:, layer.start : layer.stop],
    "repeat": lambda layer, x: np.broadcast_to(x, (x.shape[0], layer.features)),
}


def log_sum_exp(x: Any) -> Any:
    top = np.max(x, axis=1, keepdims=True)
    return top + np.log(np.exp(x - top).sum(axis=1, keepdims=True))


def _linear(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    z = (x * (1.0 / sqrt(node.inputs)) if layer.ntk else x) @ p("weight")
    return z + p("bias") if layer.bias else z


def _row_norm(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    if layer.kind == "layer_norm":
        x = x - x.mean(axis=1, keepdims=True)
    eps = float(np.finfo(x.dtype).eps) if layer.eps is None else layer.eps
    n = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    if not layer.affine:
        return n
    return n * p("weight") + (p("bias") if getattr(layer, "bias", False) else 0.0)


def _batch_norm(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    n = (x - p("running_mean")) / np.sqrt(p("running_var") + layer.eps)
    return n * p("weight") + p("bias") if layer.affine else n


def _embedding(node: Node, p: Callable[[str], Any], x: Any, chosen: Mapping[int, Any]) -> Any:
    """Rows of the tables, as products with ones where the codes are."""
    layer: Any = node.layer
    plain = [x[:, c : c + 1] for c in range(node.inputs) if c not in layer.columns]
    return np.concatenate([*plain, *(chosen[c] @ p(f"column{c}") for c in layer.columns)], axis=1)


# Of layers with parameters: the node, its parameters by part, and x to y.
LAYERS: dict[str, Callable[[Node, Callable[[str], Any], Any], Any]] = {
    "linear": _linear,
    "layer_norm": _row_norm,
    "rms_norm": _row_norm,
    "batch_norm": _batch_norm,
    "scale": lambda node, p, x: x * p("weight"),
    "prelu": lambda node, p, x: np.where(x > 0.0, x, x * p("weight")),
}
PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
}


def outputs_of(graph: Graph, values: Values, X: Any, chosen: Mapping[int, Any]) -> list[Any]:
    """What the heads of a network put out, in gates; `chosen` has a matrix of ones for each column of codes in X."""
    found: dict[int, Any] = {INPUT: X}
    for node in computing(graph):
        xs = [found[source] for source in node.sources]
        layer: Any = node.layer

        def part(name: str, node: Node = node) -> Any:
            return values[node.parameter(name)]

        if layer.op in ACTIVATIONS:
            out = ACTIVATIONS[layer.op](layer, xs[0])
        elif layer.kind == "embedding":
            at = column_of(graph.nodes, node.sources[0]) or 0
            out = _embedding(node, part, xs[0], {c: chosen[at + c] for c in layer.columns})
        elif layer.kind == "add":
            out = xs[0]
            for x in xs[1:]:
                out = out + x
        elif layer.kind == "concat":
            out = np.concatenate(xs, axis=1)
        elif layer.kind in PAIRS:
            out = PAIRS[layer.kind](*xs)
        else:
            out = LAYERS[layer.kind](node, part, xs[0])
        found[node.index] = out
    return [found[head] for head in graph.heads]


# Losses: of what the network put out and the numbers of the targets, to a matrix or one number a row.


def _margin(loss: Any, z: Any, t: Any) -> Any:
    """t is 1 in the column of the label."""
    above = np.maximum(loss.margin - (z * t).sum(axis=1, keepdims=True) + z, 0.0) * (1.0 - t)
    return (above if loss.p == 1 else above * above) * (1.0 / z.shape[1])


def _gaussian(loss: Any, z: Any, t: Any) -> Any:
    m, s = z[:, : t.shape[1]], z[:, t.shape[1] :]
    return (s + (t - m) ** 2 * np.exp(-s)) * (0.5 / t.shape[1])


def _log_cosh(e: Any) -> Any:
    size = np.abs(e)
    return size + np.log1p(np.exp(-2.0 * size)) - log(2.0)


def _huber(e: Any, delta: float) -> Any:
    size = np.abs(e)
    return np.where(size > delta, delta * (size - 0.5 * delta), 0.5 * e * e)


def _mean(value: Any) -> Any:
    return value * (1.0 / value.shape[1])


LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "cross_entropy": lambda loss, z, t: t * (log_sum_exp(z) - z),
    "multi_margin": _margin,
    "gaussian_nll": _gaussian,
    "binary_cross_entropy": lambda loss, z, t: _mean(
        (1.0 - t) * z + (1.0 + (np.asarray(loss.pos_weight) - 1.0) * t) * softplus(-z)
    ),
    "mse": lambda loss, z, t: _mean((z - t) ** 2),
    "half_mse": lambda loss, z, t: 0.5 * (z - t) ** 2,
    "mae": lambda loss, z, t: _mean(np.abs(z - t)),
    "huber": lambda loss, z, t: _mean(_huber(z - t, loss.delta)),
    "quantile": lambda loss, z, t: _mean(
        np.maximum(np.asarray(loss.q) * (t - z), (np.asarray(loss.q) - 1.0) * (t - z))
    ),
    "log_cosh": lambda loss, z, t: _mean(_log_cosh(z - t)),
    "poisson": lambda loss, z, t: _mean(np.exp(z) - t * z),
    "dot": lambda loss, z, t: z * t,
    "custom": lambda loss, z, t: _mean(custom.applied(loss.formula, ("z", "t"), z, t)),
}


def targets_of(loss: Loss, targets: Targets, outputs: int, dtype: Any) -> Any:
    """Targets as a matrix of numbers: of classes, what each counts for."""
    array = targets.array
    if array.ndim == 1:
        array = np.eye(outputs, dtype=dtype)[array]
    if targets.kernel in ("cross_entropy_smoothed", "cross_entropy_probabilities"):
        gain, shift = loss.lines(outputs)
        array = array * gain + shift
    return np.ascontiguousarray(array, dtype)


def weights_of(loss: Loss, targets: Targets, rows: int, dtype: Any) -> Any:
    """What each row's loss is multiplied with in the loss of the batch, a column."""
    weights = np.ones(rows) if targets.weights is None else targets.weights
    counted = float(rows) if targets.normalisers is None else float(targets.normalisers.sum())
    return np.ascontiguousarray((weights if loss.reduction == "sum" else weights / counted)[:, None], dtype)


class HessianProgram:
    """Products with the Hessian of a network's loss in its parameters, for so many rows.

    Parameters
    ----------
    graph : Graph
    shapes : dict
        Of parameters and of states.
    loss : Loss
    rows : int
    dtype : numpy dtype
    """

    def __init__(
        self,
        graph: Graph,
        shapes: Mapping[str, tuple[int, ...]],
        states: Mapping[str, tuple[int, ...]],
        loss: Loss,
        rows: int,
        dtype: np.dtype[Any],
    ) -> None:
        self.graph, self.loss, self.rows, self.dtype = graph, loss, rows, dtype
        gates = Gates(dtype.name)

        def traced(shape: tuple[int, ...]) -> Tracer:
            return Tracer(gates, gates.argument(shape))

        parameters = {name: traced(shape) for name, shape in shapes.items()}
        constants = {name: traced(shape) for name, shape in states.items()}
        X = traced((rows, graph.inputs))
        chosen = {column: traced((rows, count)) for column, count in graph.codes()}
        heads = outputs_of(graph, {**parameters, **constants}, X, chosen)
        total: Any = 0.0
        given = []
        for (part, weight), z in zip(loss.parts, heads, strict=True):
            width = z.shape[1] // 2 if part.kind == "gaussian_nll" else z.shape[1]
            t, of_rows = traced((rows, width)), traced((rows, 1))
            given += [t, of_rows]
            total = total + weight * (LOSSES[part.kind](part, z, t) * of_rows).sum()
        wrt = [p.number for p in parameters.values()]
        gradient = pull(gates, [(total.number, gates.constant(1.0))], wrt)
        seeds = [gates.argument(shape) for shape in shapes.values()]
        products = push(gates, gradient, dict(zip(wrt, seeds, strict=True)))
        others = [*constants.values(), X, *chosen.values(), *given]
        self._program = Program(gates, [*wrt, *(t.number for t in others), *seeds], products)

    def __call__(self, parameters: Any, states: Any, x: Any, targets: Targets, direction: list[Any]) -> tuple[Any, ...]:
        """H v as arrays shaped like the parameters, for v shaped like them too."""
        chosen = [
            np.eye(count, dtype=self.dtype)[x[:, column].astype(np.int64)] for column, count in self.graph.codes()
        ]
        given = []
        for (part, _), t, width in zip(self.loss.parts, targets.parts or (targets,), self.graph.splits, strict=True):
            given += [targets_of(part, t, width, self.dtype), weights_of(part, t, self.rows, self.dtype)]
        return self._program([*parameters, *states, x, *chosen, *given, *direction])
