"""Layers as modules of PyTorch: how each is made, and which of its tensors is which of our arrays.

A matrix of a linear layer is (out, in) there. What stands in the same order of axes in both has the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from fastbp.errors import ConfigError
from fastbp.export.in_torch import classes
from fastbp.export.in_torch.formulas import function_of
from fastbp.spec.activations import Activation
from fastbp.spec.graph import Node

MOST = 80  # characters of edges in a line with others


@dataclass(frozen=True)
class Tensor:
    """One of a module's tensors.

    Attributes
    ----------
    name : its name in the module
    turned : whether it is our matrix transposed
    factor : what ours is multiplied with
    """

    name: str
    turned: bool = False
    factor: float = 1.0

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the tensor of an array of ours."""
        return ours[::-1] if self.turned else tuple(ours)

    def of(self, array: Any) -> Any:
        """The tensor of an array of ours."""
        found = array.T if self.turned else array
        return found * found.dtype.type(self.factor) if self.factor != 1.0 else found

    def back(self, tensor: Any) -> Any:
        """The array of ours of a tensor."""
        found = tensor.T if self.turned else tensor
        return found / found.dtype.type(self.factor) if self.factor != 1.0 else found


@dataclass(frozen=True)
class Module:
    """A layer as a module.

    Attributes
    ----------
    made : the expression that makes it
    tensors : our names of its arrays -> its tensors
    texts : classes and functions that it needs
    counts : whether it has the tensor `num_batches_tracked`
    """

    made: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    counts: bool = False


def _same(*names: str) -> dict[str, Tensor]:
    return {name: Tensor(name) for name in names}


def _linear(node: Node) -> Module:
    layer: Any = node.layer
    bias = "" if layer.bias else ", bias=False"
    weight = Tensor("weight", True, 1.0 / sqrt(node.inputs) if layer.ntk else 1.0)
    tensors = {"weight": weight, "bias": Tensor("bias")} if layer.bias else {"weight": weight}
    return Module(f"nn.Linear({node.inputs}, {node.outputs}{bias})", tensors)


def _layer_norm(node: Node) -> Module:
    layer: Any = node.layer
    rest = ("" if layer.affine else ", elementwise_affine=False") + ("" if layer.bias else ", bias=False")
    return Module(f"nn.LayerNorm({node.inputs}, eps={layer.eps!r}{rest})", _same(*layer.draws(node.inputs)))


def _rms_norm(node: Node) -> Module:
    layer: Any = node.layer
    rest = "" if layer.affine else ", elementwise_affine=False"
    return Module(f"nn.RMSNorm({node.inputs}, eps={layer.eps!r}{rest})", _same(*layer.draws(node.inputs)))


def _batch_norm(node: Node) -> Module:
    layer: Any = node.layer
    rest = "" if layer.affine else ", affine=False"
    made = f"nn.BatchNorm1d({node.inputs}, eps={layer.eps!r}, momentum={layer.momentum!r}{rest})"
    return Module(made, _same(*layer.draws(node.inputs), *layer.states(node.inputs)), counts=True)


def _prelu(node: Node) -> Module:
    layer: Any = node.layer
    if layer.per_feature and node.members > 1:  # whose axis PyTorch looks for behind the first
        return Module(f"FeaturePReLU({node.inputs})", _same("weight"), (classes.FEATURE_PRELU,))
    return Module(f"nn.PReLU({node.inputs if layer.per_feature else 1})", _same("weight"))


def _parametric(node: Node) -> Module:
    layer: Any = node.layer
    inner = _activation(layer.activation)
    made = f"Parametric({node.inputs}, {inner.made})"
    return Module(made, _same("weight"), (*inner.texts, classes.PARAMETRIC))


def _embedding(node: Node) -> Module:
    layer: Any = node.layer
    tensors = {f"column{column}": Tensor(f"tables.{column}.weight") for column in layer.columns}
    return Module(f"Embedding({node.inputs}, {layer.columns!r})", tensors, (classes.EMBEDDING,))


def _edges(node: Node) -> str:
    """Columns and their edges: each column in a line, where they are many."""
    layer: Any = node.layer
    columns = [f"{column}: {list(edges)!r}" for column, edges in layer.columns.items()]
    whole = f"{{{', '.join(columns)}}}"
    return whole if len(whole) < MOST else "".join(["{\n", *(f"    {column},\n" for column in columns), "}"])


def _piecewise_linear_embedding(node: Node) -> Module:
    layer: Any = node.layer
    made = f"PiecewiseLinearEmbedding({node.inputs}, {_edges(node)}, {layer.features})"
    return Module(made, _same("slope", "bias", "weight"), (classes.PIECEWISE_LINEAR_EMBEDDING,))


def _pbld(node: Node) -> Module:
    layer: Any = node.layer
    made = f"PBLD({list(layer.of_inputs(node.inputs))}, {layer.frequencies}, {layer.features})"
    return Module(made, _same(*layer.draws(node.inputs)), (classes.PBLD,))


def _cosine(node: Node) -> Module:
    layer: Any = node.layer
    made = f"CosineEmbedding({list(layer.of_inputs(node.inputs))}, {layer.frequencies})"
    return Module(made, _same(*layer.draws(node.inputs)), (classes.COSINE,))


def _periodic(node: Node) -> Module:
    layer: Any = node.layer
    columns = list(layer.of_inputs(node.inputs))
    made = f"PeriodicEmbedding({node.inputs}, {columns}, {layer.frequencies}, {layer.features})"
    return Module(made, _same(*layer.draws(node.inputs)), (classes.PERIODIC,))


def _member_linear(node: Node) -> Module:
    layer: Any = node.layer
    bias = "" if layer.bias else ", bias=False"
    made = f"MemberLinear({node.members}, {node.inputs}, {node.outputs}{bias})"
    return Module(made, _same(*layer.draws(node.inputs)), (classes.MEMBER_LINEAR,))


def _adapted_linear(node: Node) -> Module:
    layer: Any = node.layer
    bias = "" if layer.bias else ", bias=False"
    made = f"AdaptedLinear({node.members}, {node.inputs}, {node.outputs}{bias})"
    tensors = _same(*layer.draws(node.inputs)) | {"weight": Tensor("weight", True)}
    return Module(made, tensors, (classes.ADAPTED_LINEAR,))


LAYERS: dict[str, Callable[[Node], Module]] = {
    "linear": _linear,
    "dropout": lambda node: Module(f"nn.Dropout({node.layer.p!r})"),  # type: ignore[attr-defined]
    "scale": lambda node: Module(f"Scale({node.inputs})", _same("weight"), (classes.SCALE,)),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "batch_norm": _batch_norm,
    "prelu": _prelu,
    "parametric": _parametric,
    "embedding": _embedding,
    "piecewise_linear": lambda node: Module(f"PiecewiseLinear({_edges(node)})", {}, (classes.PIECEWISE_LINEAR,)),
    "piecewise_linear_embedding": _piecewise_linear_embedding,
    "pbld": _pbld,
    "cosine": _cosine,
    "periodic": _periodic,
    "members": lambda node: Module(f"Members({node.members})", {}, (classes.MEMBERS,)),
    "member_scale": lambda node: Module(
        f"MemberScale({node.members}, {node.inputs})", _same("weight"), (classes.MEMBER_SCALE,)
    ),
    "member_linear": _member_linear,
    "adapted_linear": _adapted_linear,
    "softmax": lambda node: Module("nn.Softmax(dim=-1)"),
    "log_softmax": lambda node: Module("nn.LogSoftmax(dim=-1)"),
}

# Activations that have a module; others are functions of their formula. Beyond 40 softplus is z to the last bit.
ACTIVATIONS: dict[str, Callable[[Any], str]] = {
    "identity": lambda layer: "nn.Identity()",
    "relu": lambda layer: "nn.ReLU()",
    "leaky_relu": lambda layer: f"nn.LeakyReLU({layer.negative_slope!r})",
    "elu": lambda layer: f"nn.ELU({layer.alpha!r})",
    "selu": lambda layer: "nn.SELU()",
    "gelu": lambda layer: f"nn.GELU(approximate={layer.approximate!r})",
    "silu": lambda layer: "nn.SiLU()",
    "mish": lambda layer: "nn.Mish()",
    "softplus": lambda layer: f"nn.Softplus({layer.beta!r}, threshold=40.0)",
    "softsign": lambda layer: "nn.Softsign()",
    "sigmoid": lambda layer: "nn.Sigmoid()",
    "hard_sigmoid": lambda layer: "nn.Hardsigmoid()",
    "tanh": lambda layer: "nn.Tanh()",
    "hardtanh": lambda layer: f"nn.Hardtanh({layer.min_val!r}, {layer.max_val!r})",
}


def _activation(layer: Any) -> Module:
    if layer.kind in ACTIVATIONS:
        return Module(ACTIVATIONS[layer.kind](layer))
    # The text goes by its function's name, which is chosen where it is known which others there are.
    return Module("Formula({formula})", {}, (classes.FORMULA, function_of("{formula}", layer)))


# Gates of signals, and what has no module: an expression of the signals that are read.
EXPRESSIONS: dict[str, Callable[[Any, list[str]], str]] = {
    "add": lambda layer, x: " + ".join(x),
    "subtract": lambda layer, x: f"{x[0]} - {x[1]}",
    "multiply": lambda layer, x: f"{x[0]} * {x[1]}",
    "divide": lambda layer, x: f"{x[0]} / {x[1]}",
    "concat": lambda layer, x: f"torch.cat([{', '.join(x)}], -1)",
    "slice": lambda layer, x: f"{x[0]}[..., {layer.start}:{layer.stop}]",
    "sum": lambda layer, x: f"{x[0]}.sum(-1, keepdim=True)",
    "mean": lambda layer, x: f"{x[0]}.mean(-1, keepdim=True)",
    "repeat": lambda layer, x: f"{x[0]}.expand(*{x[0]}.shape[:-1], {layer.features})",
    "affine": lambda layer, x: f"{layer.factor!r} * {x[0]} + {layer.shift!r}",
    "reciprocal": lambda layer, x: f"{layer.numerator!r} / {x[0]}",
}


def module_of(node: Node, chain: bool) -> Module | None:
    """A layer as a module; None of what is an expression, which in a chain is a function."""
    if isinstance(node.layer, Activation):
        return _activation(node.layer)
    if node.layer.kind in EXPRESSIONS:
        if not chain:
            return None
        step = f"def {{formula}}(x):\n    return {EXPRESSIONS[node.layer.kind](node.layer, ['x'])}\n"
        return Module("Formula({formula})", {}, (classes.FORMULA, step))
    if node.layer.kind not in LAYERS:
        where = f"layers[{node.index}]"
        raise ConfigError(where, "must be a layer that can be said in PyTorch", f"`{node.layer.kind}`")
    return LAYERS[node.layer.kind](node)
