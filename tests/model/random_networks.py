"""Random networks, losses and data: every option is dealt from a shuffled deck, so that all come up equally often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.spec import catalogue
from fastbp.spec.layers import Layer
from fastbp.spec.losses import Loss

Array = np.ndarray[Any, Any]

ACTIVATIONS: list[Layer] = [
    fb.Identity(),
    fb.ReLU(),
    fb.LeakyReLU(0.1),
    fb.PReLU(),
    fb.PReLU(per_feature=True, init=0.1),
    fb.Parametric("mish", init=0.6),
    fb.ELU(),
    fb.ELU(alpha=0.7),
    fb.SELU(),
    fb.GELU(),
    fb.GELU("tanh"),
    fb.SiLU(),
    fb.Mish(),
    fb.Softplus(),
    fb.Softplus(beta=2.5),
    fb.Softsign(),
    fb.Sigmoid(),
    fb.HardSigmoid(),
    fb.Tanh(),
    fb.Hardtanh(),
    fb.Hardtanh(-0.5, 1.5),
]
ACTIVATIONS += [made() for name, made in catalogue.ACTIVATIONS.items() if name not in {a.op for a in ACTIVATIONS}]
NORMS: list[Layer | None] = [
    None,
    None,
    None,
    fb.BatchNorm(),
    fb.BatchNorm(eps=1e-3, momentum=0.3),
    fb.BatchNorm(affine=False),
    fb.LayerNorm(),
    fb.LayerNorm(bias=False),
    fb.LayerNorm(eps=1e-3, affine=False),
    fb.RMSNorm(),
    fb.RMSNorm(eps=1e-3),
    fb.RMSNorm(affine=False),
]
# (Inputs, columns of codes): in ascending order or not, wide and narrow, with others beside them or not.
EMBEDDINGS: list[tuple[int, dict[int, tuple[int, int]]]] = [
    (4, {1: (6, 2)}),
    (5, {3: (12, 3), 0: (5, 1)}),
    (3, {0: (9, 4), 2: (20, 9)}),
    (2, {0: (4, 2), 1: (7, 3)}),
]
BINS = [{1: [-0.8, 0.3, 1.1]}, {0: [-0.4, 0.6], 2: [-1.3, -0.2, 0.1, 0.9]}]
WAVES = [
    fb.PBLD(frequencies=19, sigma=0.3),
    fb.PeriodicEmbedding([1], frequencies=17, features=8, sigma=0.3),
    fb.CosineEmbedding([1, 0], frequencies=5, sigma=0.3),
    fb.PiecewiseLinearEmbedding({0: [-0.4, 0.6], 2: [-1.3, -0.2, 0.1, 0.9]}, 5),
]

Makes = Callable[[int], Loss]  # from the number of outputs

# What targets are, and the loss.
TORCH_LOSSES: list[tuple[str, Makes]] = [
    ("labels", lambda k: fb.CrossEntropy()),
    ("labels", lambda k: fb.CrossEntropy(label_smoothing=0.1)),
    ("labels", lambda k: fb.CrossEntropy(class_weights=np.linspace(0.5, 2.0, k))),
    ("labels", lambda k: fb.CrossEntropy(label_smoothing=0.2, class_weights={1: 3.0})),
    ("ignored", lambda k: fb.CrossEntropy(ignore_index=-100)),
    ("ignored", lambda k: fb.CrossEntropy(0.1, class_weights=np.linspace(2.0, 0.5, k), ignore_index=-1)),
    ("labels", lambda k: fb.CrossEntropy(ignore_index=1)),
    ("probabilities", lambda k: fb.CrossEntropy()),
    ("probabilities", lambda k: fb.CrossEntropy(0.1, class_weights=np.linspace(0.5, 2.0, k))),
    ("bits", lambda k: fb.BinaryCrossEntropy()),
    ("parts", lambda k: fb.BinaryCrossEntropy(pos_weight=2.5)),
    ("bits", lambda k: fb.BinaryCrossEntropy(pos_weight=np.linspace(0.5, 3.0, k))),
    ("numbers", lambda k: fb.MSE()),
    ("numbers", lambda k: fb.MAE()),
    ("numbers", lambda k: fb.Huber()),
    ("numbers", lambda k: fb.Huber(delta=0.4)),
    ("halves", lambda k: fb.GaussianNLL()),
    ("counts", lambda k: fb.Poisson()),
    ("labels", lambda k: fb.MultiMargin()),
    ("labels", lambda k: fb.MultiMargin(p=2, margin=0.7)),
]
LOSSES: list[tuple[str, Makes]] = [
    *TORCH_LOSSES,
    ("numbers", lambda k: fb.HalfMSE()),
    ("numbers", lambda k: fb.Quantile(q=0.8)),
    ("numbers", lambda k: fb.Quantile(q=np.linspace(0.2, 0.9, k))),
    ("numbers", lambda k: fb.LogCosh()),
]
LISTED = {make(3).kind for _, make in LOSSES}
LOSSES += [("numbers", lambda k, made=made: made()) for name, made in catalogue.LOSSES.items() if name not in LISTED]


class Decks:
    """Deals options; each comes up once before any comes up again."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._left: dict[str, list[int]] = {}

    def deal(self, name: str, options: Sequence[Any]) -> Any:
        left = self._left.setdefault(name, [])
        if not left:
            left.extend(self.rng.permutation(len(options)).tolist())
        return options[left.pop()]


def random_loss(decks: Decks, losses: list[tuple[str, Makes]]) -> tuple[str, Loss, int]:
    """What targets are, a loss, and how many outputs it is for."""
    kind, make = decks.deal("loss", losses)
    outputs = decks.deal("pairs", [2, 4, 6]) if kind == "halves" else decks.deal("outputs", [2, 3, 4, 5, 9])
    loss = make(outputs)
    return kind, replace(loss, reduction=decks.deal("reduction", ["mean", "mean", "sum"])), outputs


def random_layers(decks: Decks, loss: Loss, outputs: int, beyond_torch: bool = False) -> tuple[list[Layer], int]:
    """Layers and the number of inputs.

    No parameter's gradient is zero by itself: a shift in front of a batch norm would have one, and so would a bias or
    a batch norm with nothing but linear layers in between.
    """
    rng = decks.rng
    leads = ["none", "none", "none", "embedding", "norm", "activation", *(["bins", "waves"] if beyond_torch else [])]
    lead = decks.deal("lead", leads)
    inputs, layers, bent = int(rng.integers(3, 9)), [], True
    if lead == "embedding":
        inputs, columns = decks.deal("embedding", EMBEDDINGS)
        layers.append(fb.Embedding(columns))
    elif lead == "norm":
        layers.append(fb.BatchNorm())
        bent = False
    elif lead == "bins":
        layers.append(fb.PiecewiseLinear(decks.deal("bins", BINS)))
    elif lead == "waves":
        layers.append(decks.deal("waves", WAVES))
        bent = isinstance(layers[0], fb.PeriodicEmbedding)  # the biases of the others are shifts
    elif lead == "activation":
        layers.append(decks.deal("activation", ACTIVATIONS))
    for _ in range(decks.deal("blocks", [1, 2, 2, 3])):
        norm = decks.deal("norm", NORMS)
        if isinstance(norm, fb.BatchNorm) and not bent:
            norm = None
        bias = bool(rng.random() < 0.7) and not isinstance(norm, fb.BatchNorm)
        ntk = beyond_torch and decks.deal("ntk", [True, False, False])
        layers.append(fb.Linear(int(rng.choice([4, 7, 8, 9, 13, 16, 17, 23])), bias=bias, ntk=ntk))
        layers += [norm] if norm else []
        if beyond_torch and decks.deal("scale", [True, False, False]):
            layers.append(fb.Scale())
        activation = decks.deal("activation", ACTIVATIONS)
        layers.append(activation)
        bent = not isinstance(activation, fb.Identity | fb.HardSigmoid)  # a straight line between -3 and 3
        p = decks.deal("dropout", [0.0, 0.0, 0.0, 0.1, 0.3])
        layers += [fb.Dropout(p)] if p else []
    layers.append(fb.Linear(outputs, bias=bool(rng.random() < 0.8)))
    tail = decks.deal("tail", [None, None, fb.Softmax(), fb.LogSoftmax()])
    if loss.kind == "cross_entropy" and isinstance(tail, fb.Softmax):
        tail = fb.LogSoftmax()
    if beyond_torch:
        layers = among_members(decks, layers)
    return [*layers, tail] if tail else layers, inputs


def among_members(decks: Decks, layers: list[Layer]) -> list[Layer]:
    """Perhaps the same layers, but those behind what keeps statistics or reads codes for several members."""
    kind = decks.deal("members", ["none", "none", "none", "mini", "adapted"])
    if kind == "none":
        return layers
    first = max((i + 1 for i, one in enumerate(layers) if isinstance(one, fb.BatchNorm | fb.Embedding)), default=0)
    linear = [i for i, one in enumerate(layers) if isinstance(one, fb.Linear) and i >= first]
    out = [*layers[:first], fb.Members(3, decks.deal("average", ["values", "softmax", "sigmoid"]))]
    out += [fb.MemberScale("normal")] if kind == "mini" else []
    for i, one in enumerate(layers[first:], first):
        if i == linear[-1]:
            one = fb.MemberLinear(one.features, one.bias)  # type: ignore[attr-defined]
        elif i in linear and kind == "adapted":
            one = fb.AdaptedLinear(one.features, one.bias, adapter="normal")  # type: ignore[attr-defined]
        out.append(one)
    return out


def random_rows(rng: np.random.Generator, layers: list[Layer], inputs: int, rows: int) -> Array:
    """Rows for a network, category codes where it wants them."""
    X = rng.normal(size=(rows, inputs))
    if isinstance(layers[0], fb.Embedding):
        for column, (count, _) in layers[0].columns.items():
            X[:, column] = rng.integers(0, count, rows)
    return X


def random_targets(rng: np.random.Generator, kind: str, loss: Loss, rows: int, outputs: int) -> Array:
    """What a loss wants to see."""
    if kind in ("labels", "ignored"):
        y = rng.integers(0, outputs, rows)
        if kind == "ignored":
            y[rng.random(rows) < 0.2] = loss.ignore_index  # type: ignore[attr-defined]
        y[::4] = 0  # no batch is ignored altogether
        return y
    if kind == "probabilities":
        return rng.dirichlet(np.ones(outputs), rows)
    if kind == "bits":
        return rng.integers(0, 2, (rows, outputs)).astype(float)
    if kind == "parts":
        return rng.random((rows, outputs))
    if kind == "counts":
        return rng.poisson(1.5, (rows, outputs)).astype(float)
    return rng.normal(size=(rows, outputs // 2 if kind == "halves" else outputs))


def of_layer(layer: Any) -> str:
    """What a layer is, with the settings that make another op of it."""
    flags = [name for name in ("per_feature", "ntk") if getattr(layer, name, False)]
    flags += [f"no {name}" for name in ("affine", "bias") if not getattr(layer, name, True)]
    return " ".join([layer.op, *flags])


def of_loss(loss: Any, y: Array, sample_weight: Array | None) -> set[str]:
    """What a loss is, and what is done with its targets."""
    found = {loss.kind, f"{loss.reduction} of losses"}
    if loss.kind == "cross_entropy":
        found.add("probabilities" if y.ndim == 2 else "labels")
    if loss.kind == "multi_margin":
        found.add(f"multi_margin {loss.p}")
    if getattr(loss, "pos_weight", 1.0) != 1.0:
        found.add("pos_weight")
    for name in ("label_smoothing", "class_weights", "ignore_index", "delta", "q"):
        if getattr(loss, name, None) not in (None, 0.0):
            found.add(name)
    return found | ({"sample_weight"} if sample_weight is not None else set())
