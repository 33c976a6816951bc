"""A network and its loss as gates, for second derivatives and for files that are run elsewhere.

The sweeps compute first derivatives only. A product with the Hessian, H v = ∂/∂s ∇L(θ + s v), is the tangent of the
gradient, forward over reverse (Pearlmutter, 1994), computed on gates traced from the formulas of layers and losses.
Dropout is off, and batch norm uses its running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import log, pi, prod, sqrt
from typing import Any

import numpy as np

from fastbp.autodiff.functions import softplus
from fastbp.autodiff.graph import Graph as Gates
from fastbp.autodiff.program import Program
from fastbp.autodiff.tracer import Tracer
from fastbp.autodiff.walk import pull, push
from fastbp.lowering.apart import apart, judged
from fastbp.lowering.column_rules import others
from fastbp.lowering.walk import computing
from fastbp.spec.activations import Activation
from fastbp.spec.class_losses import log_sum_exp
from fastbp.spec.graph import INPUT, Graph, Node, column_of
from fastbp.spec.losses import Loss, Targets

Values = Mapping[str, Any]  # parameters and states by name
Formula = Callable[[Any, Any], Any]


# Layers without parameters: (layer, x) to y.
PLAIN: dict[str, Formula] = {
    "dropout": lambda layer, x: x,
    "members": lambda layer, x: x,
    "affine": lambda layer, x: layer.factor * x + layer.shift,
    "reciprocal": lambda layer, x: layer.numerator / x,
    "softmax": lambda layer, x: np.exp(x - log_sum_exp(x)),
    "log_softmax": lambda layer, x: x - log_sum_exp(x),
    "sum": lambda layer, x: x.sum(axis=1, keepdims=True),
    "mean": lambda layer, x: x.mean(axis=1, keepdims=True),
    "slice": lambda layer, x: x[:, layer.start : layer.stop],
    "repeat": lambda layer, x: np.broadcast_to(x, (x.shape[0], layer.features)),
    "piecewise_linear": lambda layer, x: layer.traced(x),
}


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


def _parametric(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    return x + p("weight") * (layer.activation.traced(x) - x)


def _embedding(node: Node, p: Callable[[str], Any], x: Any, chosen: Mapping[int, Any]) -> Any:
    """Rows of the tables, as products with one-hot codes."""
    layer: Any = node.layer
    plain = [x[:, c : c + 1] for c in range(node.inputs) if c not in layer.columns]
    return np.concatenate([*plain, *(chosen[c] @ p(f"column{c}") for c in layer.columns)], axis=1)


def _of_columns(columns: Sequence[int], of: Callable[[int, Any], Any], x: Any, kept: Sequence[int]) -> Any:
    """What becomes of each embedded column, given its number among them, and behind it the columns that are kept."""
    return np.concatenate(
        [*(of(i, x[:, c : c + 1]) for i, c in enumerate(columns)), *(x[:, c : c + 1] for c in kept)], axis=1
    )


def _pbld(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer

    def of(i: int, x: Any) -> Any:
        h = np.cos(2.0 * pi * x * p("frequency")[i : i + 1] + p("phase")[i : i + 1])
        return h @ _matrix(p("weight"), i, layer.frequencies) + p("bias")[i : i + 1]

    return _of_columns(layer.of_inputs(node.inputs), of, x, range(node.inputs))


def _cosine(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    def of(i: int, x: Any) -> Any:
        frequency, phase, weight, bias = (p(part)[i : i + 1] for part in ("frequency", "phase", "weight", "bias"))
        return np.cos(2.0 * pi * (x * frequency + phase)) * weight + bias

    layer: Any = node.layer
    return _of_columns(layer.of_inputs(node.inputs), of, x, range(node.inputs))


def _periodic(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer

    def of(i: int, x: Any) -> Any:
        turned = 2.0 * pi * x * p("frequency")[i : i + 1]
        cosine, sine = (_matrix(p(part), i, layer.frequencies) for part in ("cosine", "sine"))
        return np.maximum(np.cos(turned) @ cosine + np.sin(turned) @ sine + p("bias")[i : i + 1], 0.0)

    return _of_columns(layer.of_inputs(node.inputs), of, x, others(node, layer.of_inputs(node.inputs)))


def _piecewise_linear_embedding(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    columns = list(layer.columns)
    bins = max(len(edges) for edges in layer.columns.values()) - 1

    def of(i: int, z: Any) -> Any:
        come = layer.come(columns[i], x)
        weight = _matrix(p("weight"), i, bins)[: come.shape[1]]
        return z * p("slope")[i : i + 1] + p("bias")[i : i + 1] + come @ weight

    return _of_columns(columns, of, x, others(node, columns))


def _matrix(stack: Any, i: int, rows: int) -> Any:
    """One of a stack of matrices, which stand below each other."""
    return stack[i * rows : (i + 1) * rows]


def _own(node: Node, stack: Any) -> Any:
    """Of a stack of rows that of a node's member."""
    return stack[node.member : node.member + 1]


def _member_linear(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    z = x @ _matrix(p("weight"), node.member, node.inputs)
    return z + _own(node, p("bias")) if layer.bias else z


def _adapted_linear(node: Node, p: Callable[[str], Any], x: Any) -> Any:
    layer: Any = node.layer
    z = ((x * _own(node, p("r"))) @ p("weight")) * _own(node, p("s"))
    return z + _own(node, p("bias")) if layer.bias else z


# Layers with parameters: (node, parameters by part, x) to y.
LAYERS: dict[str, Callable[[Node, Callable[[str], Any], Any], Any]] = {
    "linear": _linear,
    "layer_norm": _row_norm,
    "rms_norm": _row_norm,
    "batch_norm": _batch_norm,
    "scale": lambda node, p, x: x * p("weight"),
    "prelu": lambda node, p, x: np.where(x > 0.0, x, x * p("weight")),
    "parametric": _parametric,
    "pbld": _pbld,
    "cosine": _cosine,
    "periodic": _periodic,
    "piecewise_linear_embedding": _piecewise_linear_embedding,
    "member_scale": lambda node, p, x: x * _own(node, p("weight")),
    "member_linear": _member_linear,
    "adapted_linear": _adapted_linear,
}
PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
}


def outputs_of(graph: Graph, values: Values, X: Any, chosen: Mapping[int, Any]) -> list[Any]:
    """The outputs of a network's heads, in gates; `chosen` has a one-hot matrix for each column of codes in X."""
    found: dict[int, Any] = {INPUT: X}
    for node in computing(graph):
        xs = [found[source] for source in node.sources]
        layer: Any = node.layer

        def part(name: str, node: Node = node) -> Any:
            return values[node.parameter(name)]

        if isinstance(layer, Activation):
            out = layer.traced(xs[0])
        elif layer.op in PLAIN:
            out = PLAIN[layer.op](layer, xs[0])
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


def predicted(graph: Graph, values: Values, X: Any, chosen: Mapping[int, Any]) -> list[Any]:
    """The same of any network: of one with `Members` what they predict together, each computed by itself."""
    outputs = outputs_of(apart(graph), values, X, chosen)
    return outputs if graph.members is None else [mean_of_members(graph.members.average, outputs)]


def mean_of_members(average: str, zs: Sequence[Any]) -> Any:
    """The mean of what members predict, or the logits of the mean of their probabilities."""
    if average == "values":
        return sum(zs[1:], zs[0]) * (1.0 / len(zs))
    if average == "softmax":
        return reduce(np.logaddexp, [z - log_sum_exp(z) for z in zs]) - log(len(zs))
    above, below = (reduce(np.logaddexp, [-softplus(sign * z) for z in zs]) for sign in (-1.0, 1.0))
    return above - below


def targets_of(loss: Loss, targets: Targets, outputs: int, dtype: Any) -> Any:
    """Targets as a matrix of numbers; classes become weights of outputs."""
    array = targets.array
    if array.ndim == 1:
        array = np.eye(outputs, dtype=dtype)[array]
    if targets.kernel in ("cross_entropy_smoothed", "cross_entropy_probabilities"):
        gain, shift = loss.lines(outputs)
        array = array * gain + shift
    return np.ascontiguousarray(array, dtype)


def weights_of(loss: Loss, targets: Targets, rows: int, dtype: Any) -> Any:
    """The factor of each row's loss in the loss of the batch, a column."""
    weights = np.ones(rows) if targets.weights is None else targets.weights
    counted = float(rows) if targets.normalisers is None else float(targets.normalisers.sum())
    return np.ascontiguousarray((weights if loss.reduction == "sum" else weights / counted)[:, None], dtype)


class HessianProgram:
    """Products with the Hessian of a network's loss in its parameters, for a fixed number of rows.

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
        self._shapes = [*shapes.values()]
        gates = Gates(dtype.name)

        def traced(shape: tuple[int, ...]) -> Tracer:
            return Tracer(gates, gates.argument(shape))

        parameters = {name: traced(_flat(shape)) for name, shape in shapes.items()}
        constants = {name: traced(shape) for name, shape in states.items()}
        X = traced((rows, graph.inputs))
        chosen = {column: traced((rows, count)) for column, count in graph.codes()}
        each, _, parts = judged(graph, loss)
        heads = outputs_of(each, {**parameters, **constants}, X, chosen)
        total: Any = 0.0
        given: list[Tracer] = []
        for (part, weight), z in zip(parts, heads, strict=True):
            if graph.members is None or not given:  # members have the same targets
                t, of_rows = traced((rows, z.shape[1] // part.outputs_per_target)), traced((rows, 1))
                given += [t, of_rows]
            total = total + weight * (part.of_rows(z, t) * of_rows).sum()
        wrt = [p.number for p in parameters.values()]
        gradient = pull(gates, [(total.number, gates.constant(1.0))], wrt)
        seeds = [gates.argument(_flat(shape)) for shape in shapes.values()]
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
        of_parameters, directions = (
            [array.reshape(_flat(shape)) for array, shape in zip(arrays, self._shapes, strict=True)]
            for arrays in (parameters, direction)
        )
        found = self._program([*of_parameters, *states, x, *chosen, *given, *directions])
        return tuple(array.reshape(shape) for array, shape in zip(found, self._shapes, strict=True))


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of two axes at most: matrices of a stack below each other."""
    return (prod(shape[:-1]), shape[-1]) if len(shape) > 2 else tuple(shape)
