"""Modules of PyTorch as layers of ours: what `fb.load_torch` makes of a `nn.Sequential`, by names of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastbp.errors import ConfigError
from fastbp.spec import activations as a
from fastbp.spec import layers as l
from fastbp.spec.layers import Layer


def _over_features(module: Any, layer: Layer) -> tuple[Layer, None]:
    if module.dim not in (1, -1):
        name = type(module).__name__
        raise ConfigError(
            "like", f"must be given for a module with a `{name}` that is not over features", f"`{module.dim}`"
        )
    return layer, None


# Class in torch.nn -> the layer, and the features of a row that it takes, where it says so.
MODULES: dict[str, Callable[[Any], tuple[Layer, int | None]]] = {
    "Linear": lambda m: (l.Linear(m.out_features, bias=m.bias is not None), m.in_features),
    "Dropout": lambda m: (l.Dropout(m.p), None),
    "LayerNorm": lambda m: (
        l.LayerNorm(m.eps, m.elementwise_affine, m.bias is not None or not m.elementwise_affine),
        m.normalized_shape[0] if len(m.normalized_shape) == 1 else None,
    ),
    "RMSNorm": lambda m: (l.RMSNorm(m.eps, m.elementwise_affine), m.normalized_shape[0]),
    "BatchNorm1d": lambda m: (l.BatchNorm(m.eps, m.momentum, m.affine), m.num_features),
    "PReLU": lambda m: (a.PReLU(per_feature=m.num_parameters > 1), m.num_parameters if m.num_parameters > 1 else None),
    "Flatten": lambda m: (a.Identity(), None),  # rows are flat
    "Identity": lambda m: (a.Identity(), None),
    "ReLU": lambda m: (a.ReLU(), None),
    "LeakyReLU": lambda m: (a.LeakyReLU(m.negative_slope), None),
    "ELU": lambda m: (a.ELU(m.alpha), None),
    "SELU": lambda m: (a.SELU(), None),
    "GELU": lambda m: (a.GELU(m.approximate), None),
    "SiLU": lambda m: (a.SiLU(), None),
    "Mish": lambda m: (a.Mish(), None),
    "Softplus": lambda m: (a.Softplus(m.beta), None),
    "Softsign": lambda m: (a.Softsign(), None),
    "Sigmoid": lambda m: (a.Sigmoid(), None),
    "Hardsigmoid": lambda m: (a.HardSigmoid(), None),
    "Tanh": lambda m: (a.Tanh(), None),
    "Hardtanh": lambda m: (a.Hardtanh(m.min_val, m.max_val), None),
    "ReLU6": lambda m: (a.Hardtanh(0.0, 6.0), None),
    "Softmax": lambda m: _over_features(m, a.Softmax()),
    "LogSoftmax": lambda m: _over_features(m, a.LogSoftmax()),
}


def layers_of(module: Any) -> tuple[list[Layer], int]:
    """The layers of a `nn.Sequential`, and of others within it, and the features of a row."""
    found: list[tuple[Layer, int | None]] = []
    _add(module, "", found)
    inputs = next((width for _, width in found if width is not None), None)
    if inputs is None:
        raise ConfigError("like", "must be given for a module without a layer that says how many inputs it has")
    return [layer for layer, _ in found], inputs


def _add(module: Any, place: str, found: list[tuple[Layer, int | None]]) -> None:
    name = type(module).__name__
    theirs = type(module).__module__.startswith("torch.nn.modules.")
    if name == "Sequential" and theirs:
        for at, inner in module.named_children():
            _add(inner, f"{place}.{at}" if place else at, found)
        return
    if name not in MODULES or not theirs:
        must = "must be given for a module that is no `nn.Sequential` of layers that are here too"
        raise ConfigError("like", must, f"`{name}`" + (f" at `{place}`" if place else ""))
    layer, width = MODULES[name](module)
    found.append((layer, width))
