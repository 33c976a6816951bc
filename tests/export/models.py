"""Models of every kind, drawn at random: chains of all layers, graphs, members, packs and ensembles."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastbp as fb
from tests.model import random_graphs
from tests.model.random_networks import ACTIVATIONS, BINS, EMBEDDINGS, NORMS, WAVES

KINDS = ("chain", "graph", "chain", "members", "chain", "graph", "pack", "ensemble")
LEADS = ("none", "none", "none", "embedding", "bins", "waves", "norm", "formula")
ENDS = ("none", "none", "none", "none", "softmax", "log_softmax", "scale")
LOSSES = ("cross_entropy", "binary_cross_entropy", "mse", "poisson", "gaussian_nll", "huber")
ROWS = 7


def is_network(seed: int) -> bool:
    """Whether that model is one network."""
    return KINDS[seed % len(KINDS)] not in ("pack", "ensemble")


def model(seed: int, dtype: str = "float64", codes: bool = True) -> tuple[Any, Any]:
    """Model number `seed`, and rows for it; without `codes` there are waves of numbers in their place."""
    leads = LEADS if codes else tuple("waves" if lead == "embedding" else lead for lead in LEADS)
    rng = np.random.default_rng([seed, 77])
    kind = KINDS[seed % len(KINDS)]
    if kind == "graph":
        net = random_graphs.network(seed, dtype)
        shaken(net, rng)
        return net, rows(net, rng)
    if kind == "pack":
        loss = LOSSES[seed // 8 % len(LOSSES)]
        width = {"gaussian_nll": 4, "cross_entropy": 1 + seed // 8 % 3}.get(loss, 3)
        pack = fb.Pack(chain(rng, dtype, str(rng.choice(leads)), outputs=width), n=3, loss=loss)
        for net in pack.members:
            shaken(net, rng)
        return pack, rows(pack.members[0], rng)
    if kind == "ensemble":
        loss = LOSSES[seed // 8 % len(LOSSES)]
        lead, inputs = str(rng.choice(leads)), int(rng.integers(3, 6))
        nets = [chain(rng, dtype, lead, inputs, 4) for _ in range(3)]
        ensemble = fb.Ensemble(nets, weights=[1.0, 0.5, 2.0], loss=loss)
        if loss in LOSSES[:2]:
            ensemble = ensemble.tempered(1.7)
        return ensemble, rows(nets[0], rng)
    net = chain(rng, dtype, str(rng.choice(leads)), members=kind == "members")
    return net, rows(net, rng)


def chain(
    rng: np.random.Generator,
    dtype: str,
    lead: str = "none",
    inputs: int = 4,
    outputs: int | None = None,
    members: bool = False,
) -> fb.Network:
    """A network of a list of layers."""
    outputs = int(rng.integers(1, 6)) if outputs is None else outputs
    end = str(rng.choice(ENDS)) if outputs > 1 else "none"
    layers, inputs = led(rng, lead, inputs)
    if members:
        layers += [fb.Members(3, ("values", "softmax", "sigmoid")[rng.integers(3)]), fb.MemberScale("normal")]
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.integers(2, 20))
        if members and rng.random() < 0.5:
            layers.append(fb.AdaptedLinear(width, bias=bool(rng.integers(2)), adapter="normal"))
        else:
            layers.append(fb.Linear(width, bias=bool(rng.integers(2)), ntk=bool(rng.random() < 0.3)))
        norm = NORMS[rng.integers(len(NORMS))]
        if norm is not None and not (members and isinstance(norm, fb.BatchNorm)):
            layers.append(norm)
        layers.append(ACTIVATIONS[rng.integers(len(ACTIVATIONS))])
        if rng.random() < 0.3:
            layers.append(fb.Dropout(0.4))
    layers.append(fb.MemberLinear(outputs) if members else fb.Linear(outputs))
    layers += {"softmax": [fb.Softmax()], "log_softmax": [fb.LogSoftmax()], "scale": [fb.Scale()]}.get(end, [])
    net = fb.Network(layers, inputs=inputs, seed=int(rng.integers(1000)), dtype=dtype)
    shaken(net, rng)
    return net


def led(rng: np.random.Generator, lead: str, inputs: int) -> tuple[list[Any], int]:
    """First layers, and how many inputs they are for."""
    if lead == "embedding":
        inputs, columns = EMBEDDINGS[inputs % len(EMBEDDINGS)]
        return [fb.Embedding(columns)], inputs
    if lead == "bins":
        return [fb.PiecewiseLinear(BINS[rng.integers(len(BINS))])], inputs
    if lead == "waves":
        return [WAVES[rng.integers(len(WAVES))]], inputs
    if lead == "norm":
        return [fb.BatchNorm()], inputs
    return ([fb.activation("x * sigmoid(x) + sin(x)")] if lead == "formula" else []), inputs


def shaken(net: fb.Network, rng: np.random.Generator) -> None:
    """Have no parameter and no running statistic be as it began."""
    net.flat = net.flat + 0.1 * rng.normal(size=net.flat.size)
    for name in net.states:
        shape = net.states[name].shape
        net.states[name] = rng.uniform(0.5, 2.0, shape) if name.endswith("var") else rng.normal(size=shape)


def rows(net: fb.Network, rng: np.random.Generator, count: int = ROWS) -> Any:
    """Rows of numbers, and codes where there are columns of such; of several inputs a tuple."""
    X = rng.normal(size=(count, net.inputs)).astype(net.dtype)
    for column, categories in net.graph.codes():
        X[:, column] = rng.integers(categories, size=count)
    parts = np.split(X, np.cumsum([width for _, width in net.graph.parts])[:-1], axis=1)
    return tuple(parts) if len(parts) > 1 else X
