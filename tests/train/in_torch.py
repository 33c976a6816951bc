"""Networks and losses in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import fastbp as fb
from fastbp import reference

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor
Named = dict[str, Tensor]


class Masked(nn.Module):
    """Dropout with masks that somebody else draws."""

    def __init__(self, p: float, width: int, node: int) -> None:
        super().__init__()
        self.p, self.width, self.node = p, width, node
        self.kept = torch.zeros(0)

    def draw(self, rows: int, seed: int, draw: int, dtype: torch.dtype) -> None:
        kept = reference.dropout_mask(rows, self.width, self.p, seed, draw, self.node)
        self.kept = torch.from_numpy(kept).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kept / (1.0 - self.p) if self.training else x


class Ramp(nn.Module):
    """Hard sigmoid; the gradient of torch's own has a sixth of float32 precision in it, in float64 too."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu6(x + 3.0) / 6.0


class Blended(nn.Module):
    """x and an activation of it, mixed feature by feature."""

    def __init__(self, layer: Any, inputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = MODULES[layer.activation.kind](layer.activation, inputs, dtype)
        self.weight = nn.Parameter(torch.full((inputs,), layer.init, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * (self.inner(x) - x)


class Tables(nn.Module):
    """The columns that are no codes, then a row of each table."""

    def __init__(self, layer: Any, inputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.others = [column for column in range(inputs) if column not in layer.columns]
        self.codes = list(layer.columns)
        self.tables = nn.ModuleDict(
            {f"column{column}": nn.Embedding(*shape, dtype=dtype) for column, shape in layer.columns.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        rows = [self.tables[f"column{column}"](x[:, column].long()) for column in self.codes]
        return torch.cat([x[:, self.others], *rows], dim=1)


MODULES: dict[str, Callable[[Any, int, torch.dtype], nn.Module]] = {
    "linear": lambda layer, i, t: nn.Linear(i, layer.features, layer.bias, dtype=t),
    "batch_norm": lambda layer, i, t: nn.BatchNorm1d(i, layer.eps, layer.momentum, layer.affine, dtype=t),
    "layer_norm": lambda layer, i, t: nn.LayerNorm(i, layer.eps, layer.affine, layer.bias, dtype=t),
    "rms_norm": lambda layer, i, t: nn.RMSNorm(i, layer.eps, layer.affine, dtype=t),
    "embedding": Tables,
    "identity": lambda layer, i, t: nn.Identity(),
    "relu": lambda layer, i, t: nn.ReLU(),
    "leaky_relu": lambda layer, i, t: nn.LeakyReLU(layer.negative_slope),
    "prelu": lambda layer, i, t: nn.PReLU(i if layer.per_feature else 1, dtype=t),
    "parametric": Blended,
    "elu": lambda layer, i, t: nn.ELU(layer.alpha),
    "selu": lambda layer, i, t: nn.SELU(),
    "gelu": lambda layer, i, t: nn.GELU(layer.approximate),
    "silu": lambda layer, i, t: nn.SiLU(),
    "mish": lambda layer, i, t: nn.Mish(),
    # From its threshold on torch's is a straight line, and 2e-9 off at the default.
    "softplus": lambda layer, i, t: nn.Softplus(layer.beta, threshold=100.0),
    "softsign": lambda layer, i, t: nn.Softsign(),
    "sigmoid": lambda layer, i, t: nn.Sigmoid(),
    "hard_sigmoid": lambda layer, i, t: Ramp(),
    "tanh": lambda layer, i, t: nn.Tanh(),
    "hardtanh": lambda layer, i, t: nn.Hardtanh(layer.min_val, layer.max_val),
    "softmax": lambda layer, i, t: nn.Softmax(dim=1),
    "log_softmax": lambda layer, i, t: nn.LogSoftmax(dim=1),
}


def module(net: fb.Network) -> nn.Sequential:
    """The same network with the same parameters."""
    dtype = getattr(torch, net.dtype.name)
    model = nn.Sequential(
        *(
            Masked(node.layer.p, node.inputs, node.index)
            if isinstance(node.layer, fb.Dropout)
            else MODULES[node.layer.kind](node.layer, node.inputs, dtype)
            for node in net.graph.nodes
        )
    )
    with torch.no_grad():
        for name, p in parameters(model).items():
            array = net.parameters[name]
            p.copy_(torch.from_numpy(array.T.copy() if _turned(name, p) else array))
    return model


def _turned(name: str, p: Tensor) -> bool:
    """Torch's weights of linear layers are (out, in)."""
    return p.ndim == 2 and name.endswith(".weight")


def parameters(model: nn.Module) -> Named:
    """By the names that fastbp has for them."""
    found = {}
    for name, p in model.named_parameters():
        node, *_, part = name.removesuffix(".weight").split(".") if ".tables." in name else name.split(".")
        found[f"{node}.{part}"] = p
    return found


def natural(model: nn.Module) -> dict[str, Array]:
    """Arrays of the parameters as fastbp has them."""
    return {name: (p.detach().T if _turned(name, p) else p.detach()).numpy() for name, p in parameters(model).items()}


def running(model: nn.Module) -> dict[str, Array]:
    return {name: b.numpy() for name, b in model.named_buffers() if "running" in name}


class Targets(NamedTuple):
    """Targets and weights of rows."""

    y: Tensor
    weights: Tensor | None

    def at(self, rows: Array) -> Targets:
        return Targets(self.y[rows], None if self.weights is None else self.weights[rows])


def class_weights(loss: Any, like: Tensor) -> Tensor | None:
    if loss.class_weights is None:
        return None
    weights = torch.ones(like.shape[1], dtype=like.dtype)
    for label, weight in loss.class_weights:
        weights[label] = weight
    return weights


def rows_of(loss: Any, z: Tensor, y: Tensor, reduction: str) -> Tensor:
    """Torch's own function, reduced by it or, with "none", not."""
    match loss.kind:
        case "cross_entropy":
            words = {} if loss.ignore_index is None else {"ignore_index": loss.ignore_index}
            weights = class_weights(loss, z)
            smoothing = loss.label_smoothing
            return functional.cross_entropy(z, y, weights, reduction=reduction, label_smoothing=smoothing, **words)
        case "binary_cross_entropy":
            positive = torch.tensor(loss.pos_weight, dtype=z.dtype)
            return functional.binary_cross_entropy_with_logits(z, y, reduction=reduction, pos_weight=positive)
        case "mse":
            return functional.mse_loss(z, y, reduction=reduction)
        case "mae":
            return functional.l1_loss(z, y, reduction=reduction)
        case "huber":
            return functional.huber_loss(z, y, reduction=reduction, delta=loss.delta)
        case "poisson":
            return functional.poisson_nll_loss(z, y, reduction=reduction)
        case "gaussian_nll":
            mean, log_variance = z.chunk(2, dim=1)
            return functional.gaussian_nll_loss(mean, y, log_variance.exp(), reduction=reduction)
    assert loss.kind == "multi_margin"
    return functional.multi_margin_loss(z, y, loss.p, loss.margin, reduction=reduction)


def counts_of(loss: Any, z: Tensor, y: Tensor) -> Tensor:
    """What rows count for in a mean."""
    counts = torch.ones(len(z), dtype=z.dtype)
    if loss.kind == "cross_entropy" and y.ndim == 1:
        kept = y != loss.ignore_index if loss.ignore_index is not None else torch.ones(len(y), dtype=torch.bool)
        weights = class_weights(loss, z)
        counts = kept.to(z.dtype) if weights is None else torch.where(kept, weights[y.clamp(min=0)], 0.0)
    return counts


def measure(loss: Any, z: Tensor, targets: Targets) -> tuple[Tensor, float]:
    """The loss of a batch, and what it counts for in the mean of a pass."""
    y, weights = targets
    counts = counts_of(loss, z, y)
    summed = loss.reduction == "sum"
    if weights is None:
        # A row's loss is the mean over its outputs, so a sum of rows is no sum over all numbers.
        numbers = y.shape[1] if y.ndim == 2 and loss.kind != "cross_entropy" else 1
        value = rows_of(loss, z, y, loss.reduction)
        return (value / numbers, 1.0) if summed else (value, counts.sum().item())
    rows = rows_of(loss, z, y, "none")
    value = weights @ (rows if rows.ndim == 1 else rows.mean(dim=1))
    weight = weights @ counts
    return (value, 1.0) if summed else (value / weight, weight.item())
