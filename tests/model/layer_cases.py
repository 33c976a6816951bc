"""Layers with parameters of their own or rows that hang together: how each is made, and its twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastbp as fb
from fastbp import reference

Array = np.ndarray[Any, Any]
Gradients = dict[str, Array]


class Case(NamedTuple):
    """A layer, and its twin: (parameters, x, dy) to (y, dx, gradients by part)."""

    layer: Any
    twin: Callable[[Any, Array, Array], tuple[Array, Array, Gradients]]


def scale(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    dx, ds = reference.scale_vjp(dy, x, p["weight"])
    return reference.scale_forward(x, p["weight"]), dx, {"weight": ds}


def prelu(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    dx, da = reference.prelu_vjp(dy, x, p["weight"])
    return reference.prelu_forward(x, p["weight"]), dx, {"weight": da}


def layer_norm(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    g, b = p.get("weight"), p.get("bias")
    dx, dg, db = reference.layer_norm_vjp(dy, x, g)
    return reference.layer_norm_forward(x, g, b), dx, {"weight": dg, "bias": db}


def rms_norm(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    dx, dg = reference.rms_norm_vjp(dy, x, p.get("weight"), 1e-5)
    return reference.rms_norm_forward(x, p.get("weight"), 1e-5), dx, {"weight": dg}


def batch_norm(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    """Of inference: the running statistics are constants, so the layer is a scale and a shift."""
    g = p.get("weight", 1.0)
    n = (x - p["running_mean"]) / np.sqrt(p["running_var"] + 1e-5)
    y = reference.batch_norm_inference(x, p.get("weight"), p.get("bias"), p["running_mean"], p["running_var"])
    dx = dy * g / np.sqrt(p["running_var"] + 1e-5)
    return y, dx, {"weight": (dy * n).sum(0), "bias": dy.sum(0)}


def softmax(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    y = reference.softmax_forward(x)
    return y, reference.softmax_vjp(dy, y), {}


def log_softmax(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    y = reference.log_softmax_forward(x)
    return y, reference.log_softmax_vjp(dy, y), {}


def parametric(activation: str, saves: str) -> Case:
    """Of the input of some activations is read again, of others the output."""
    forward, vjp = getattr(reference, f"{activation}_forward"), getattr(reference, f"{activation}_vjp")

    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        f = forward(x)
        dx, da = reference.parametric_vjp(dy, vjp(dy, x if saves == "x" else f), x, f, p["weight"])
        return reference.parametric_forward(x, f, p["weight"]), dx, {"weight": da}

    return Case(fb.Parametric(activation, init=0.75), twin)


def embedding(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    tables = {int(part.removeprefix("column")): table for part, table in p.items()}
    dx, found = reference.embedding_vjp(dy, x, tables)
    return reference.embedding_forward(x, tables), dx, {f"column{column}": d for column, d in found.items()}


def piecewise_linear(edges: dict[int, list[float]]) -> Case:
    """Bins of some columns; in float32 their edges are fractions that it holds."""
    held = {column: np.array(of) for column, of in edges.items()}

    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        dx = reference.piecewise_linear_vjp(dy, x, held)
        return reference.piecewise_linear_forward(x, held), dx, {}

    return Case(fb.PiecewiseLinear(edges), twin)


def pbld(layer: fb.PBLD) -> Case:
    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        w, b, W, columns = p["frequency"], p["phase"], p["weight"], list(layer.of_inputs(x.shape[1]))
        dx, *found = reference.pbld_vjp(dy, x, w, b, W, columns)
        gradients = dict(zip(("frequency", "phase", "weight", "bias"), found, strict=True))
        return reference.pbld_forward(x, w, b, W, p["bias"], columns), dx, gradients

    return Case(layer, twin)


def cosine(layer: fb.CosineEmbedding) -> Case:
    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        w, b, a, columns = p["frequency"], p["phase"], p["weight"], list(layer.of_inputs(x.shape[1]))
        dx, *found = reference.cosine_vjp(dy, x, w, b, a, columns)
        gradients = dict(zip(("frequency", "phase", "weight", "bias"), found, strict=True))
        return reference.cosine_forward(x, w, b, a, p["bias"], columns), dx, gradients

    return Case(layer, twin)


def periodic(layer: fb.PeriodicEmbedding) -> Case:
    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        parts = [p[part] for part in ("frequency", "cosine", "sine", "bias")]
        columns = list(layer.of_inputs(x.shape[1]))
        dx, *found = reference.periodic_vjp(dy, x, *parts, columns)
        gradients = dict(zip(("frequency", "cosine", "sine", "bias"), found, strict=True))
        return reference.periodic_forward(x, *parts, columns), dx, gradients

    return Case(layer, twin)


def piecewise_linear_embedding(edges: dict[int, list[float]], features: int) -> Case:
    held = {column: np.array(of) for column, of in edges.items()}

    def twin(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
        w, b, V = p["slope"], p["bias"], p["weight"]
        dx, *found = reference.piecewise_linear_embedding_vjp(dy, x, held, w, V)
        gradients = dict(zip(("slope", "bias", "weight"), found, strict=True))
        return reference.piecewise_linear_embedding_forward(x, held, w, b, V), dx, gradients

    return Case(fb.PiecewiseLinearEmbedding(edges, features), twin)


def silu(p: Any, x: Array, dy: Array) -> tuple[Array, Array, Gradients]:
    return reference.silu_forward(x), reference.silu_vjp(dy, x), {}


# By the name of the op; codes for the embedding are in columns 0 and, if there is one, 2.
LAYER_CASES: dict[str, list[Case]] = {
    "scale": [Case(fb.Scale(), scale)],
    "prelu": [Case(fb.PReLU(), prelu), Case(fb.PReLU(per_feature=True, init=-0.5), prelu)],
    "parametric": [
        parametric("selu", "x"),
        parametric("mish", "x"),
        parametric("tanh", "y"),
        parametric("relu", "y"),
        Case(fb.Parametric("x * sigmoid(x)", init=-0.5), parametric("silu", "x").twin),
    ],
    "layer_norm": [
        Case(fb.LayerNorm(), layer_norm),
        Case(fb.LayerNorm(bias=False), layer_norm),
        Case(fb.LayerNorm(affine=False), layer_norm),
    ],
    "rms_norm": [Case(fb.RMSNorm(eps=1e-5), rms_norm), Case(fb.RMSNorm(eps=1e-5, affine=False), rms_norm)],
    "custom": [Case(fb.activation("x * sigmoid(x)"), silu)],
    "batch_norm": [Case(fb.BatchNorm(), batch_norm), Case(fb.BatchNorm(affine=False), batch_norm)],
    "softmax": [Case(fb.Softmax(), softmax)],
    "log_softmax": [Case(fb.LogSoftmax(), log_softmax)],
    "embedding": [Case(fb.Embedding({0: (5, 3)}), embedding)],
    "piecewise_linear": [
        piecewise_linear({0: [-0.5, 0.25, 1.0]}),
        piecewise_linear({0: (np.arange(-38, 39) / 16.0).tolist()}),
        piecewise_linear({0: [0.0, 0.125]}),
    ],
    "pbld": [
        pbld(fb.PBLD()),
        pbld(fb.PBLD([0], frequencies=5, features=17)),
        pbld(fb.PBLD(frequencies=19, features=1)),
    ],
    "cosine": [
        cosine(fb.CosineEmbedding()),
        cosine(fb.CosineEmbedding([0], frequencies=21)),
        cosine(fb.CosineEmbedding(frequencies=3)),
    ],
    "periodic": [
        periodic(fb.PeriodicEmbedding(frequencies=19, features=3)),
        periodic(fb.PeriodicEmbedding([0], frequencies=5, features=17)),
        periodic(fb.PeriodicEmbedding([0])),
    ],
    "piecewise_linear_embedding": [
        piecewise_linear_embedding({0: [-0.5, 0.25, 1.0]}, 3),
        piecewise_linear_embedding({0: (np.arange(-38, 39) / 16.0).tolist()}, 17),
        piecewise_linear_embedding({0: [0.0, 0.125]}, 1),
    ],
}
