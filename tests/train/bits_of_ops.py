"""Trains one small network for every op there is, in a process of its own, and prints digests of what came out as JSON.

`python -m tests.train.bits_of_ops` prints {op: {threads: digest}} for the lanes of its process; every op is trained in
both dtypes, with gradients that are applied at once and with such as wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastbp as fb
from fastbp.kernels.tile import LANES
from fastbp.lowering import plans
from fastbp.spec.catalogue import ACTIVATIONS
from fastbp.spec.catalogue import LOSSES as ALL_LOSSES
from fastbp.train.catalogue import OPTIMIZERS as ALL_OPTIMIZERS
from tests.train.bits import fractions

ROWS, INPUTS, BATCH, STEPS = 90, 7, 41, 5
THREADS = (1, 2, 3)

# Everything there is, with the settings that it is tried with.
LAYERS = {
    **{name: [made()] for name, made in ACTIVATIONS.items()},
    "linear": [fb.Linear(19, bias=False), fb.Linear(18, ntk=True, init="he_normal", bias_init="normal")],
    "leaky_relu": [fb.LeakyReLU(0.25)],
    "prelu": [fb.PReLU(), fb.Linear(21), fb.PReLU(per_feature=True)],
    "parametric": [
        fb.Parametric("mish"),
        fb.Linear(18),
        fb.Parametric("tanh", init=0.5),
        fb.Linear(17),
        fb.Parametric("relu"),
    ],
    "elu": [fb.ELU(1.5)],
    "softplus": [fb.Softplus(2.0)],
    "custom": [fb.activation("x * tanh(log(1 + exp(x))) + sin(x)")],
    "hardtanh": [fb.Hardtanh(-0.5, 0.25)],
    "members": [fb.Members(3, "softmax"), fb.Dropout(0.25)],
    "member_scale": [fb.Members(3, "softmax"), fb.MemberScale(), fb.Linear(19), fb.Tanh()],
    "member_linear": [fb.Members(3, "softmax"), fb.MemberLinear(19), fb.Tanh()],
    "adapted_linear": [
        fb.Members(3, "softmax"),
        fb.AdaptedLinear(19, adapter="signs"),
        fb.ReLU(),
        fb.AdaptedLinear(18),
    ],
    "softmax": [fb.Linear(6), fb.Softmax()],
    "log_softmax": [fb.Linear(6), fb.LogSoftmax()],
    "scale": [fb.Scale()],
    "dropout": [fb.Dropout(0.3)],
    "layer_norm": [fb.LayerNorm(), fb.Linear(20), fb.LayerNorm(affine=False)],
    "rms_norm": [fb.RMSNorm(), fb.Linear(20), fb.RMSNorm(affine=False)],
    "batch_norm": [fb.BatchNorm(), fb.Linear(20), fb.BatchNorm(affine=False)],
    "embedding": [fb.Embedding({1: (4, 3), 4: (6, 9)})],
    "piecewise_linear": [fb.PiecewiseLinear({3: [-1.0, -0.25, 0.5], 20: np.arange(-9.0, 10.0) / 8.0, 0: [0.0, 1.0]})],
    "piecewise_linear_embedding": [
        fb.PiecewiseLinearEmbedding({3: [-1.0, -0.25, 0.5], 20: np.arange(-9.0, 10.0) / 8.0}, 17),
        fb.Linear(20),
        fb.PiecewiseLinearEmbedding({2: [0.0, 1.0]}, 5),
    ],
    "periodic": [fb.PeriodicEmbedding([5, 0, 18], sigma=2.0), fb.Linear(20), fb.PeriodicEmbedding(frequencies=9)],
    "pbld": [fb.PBLD([5, 0, 18], sigma=2.0), fb.Linear(20), fb.PBLD(frequencies=9, features=17)],
    "cosine": [fb.CosineEmbedding([5, 0, 18]), fb.Linear(20), fb.Scale(), fb.CosineEmbedding(frequencies=9)],
}


def branches(x: Any) -> tuple[Any, Any]:
    """Two ways from the rows on, both wider than a panel."""
    return fb.Tanh()(fb.Linear(37)(x)), fb.Sigmoid()(fb.Linear(37)(x))


def joined(gate: Any) -> Any:
    return lambda x: fb.Linear(6)(gate(*branches(x)))


def residual(x: Any) -> Any:
    h = fb.Linear(37)(x)
    for _ in range(2):
        h = h + fb.Linear(37)(fb.ReLU()(fb.BatchNorm()(h)))
    return fb.Linear(6)(fb.Dropout(0.25)(h))


def shared(x: Any) -> Any:
    """Layers of every kind that can be used again."""
    again = [fb.Linear(19), fb.PReLU(), fb.Scale(), fb.LayerNorm(), fb.PReLU(per_feature=True), fb.RMSNorm()]
    h = fb.Linear(19)(x)
    for layer in (*again, *again, fb.Linear(6)):
        h = layer(h)
    return h


def several(x: Any) -> Any:
    """Several outputs, of which one is read by others, and one stands there twice."""
    h, g = branches(x)
    y = fb.Linear(6)(h + g)
    return [y, fb.Linear(3)(fb.concat([y, g])), fb.Linear(2)(h), y]


GRAPHS = {
    "add": [joined(fb.Add()), residual, shared, several, lambda x: fb.Linear(6)(fb.Add()(*branches(x), *branches(x)))],
    "subtract": [joined(fb.Subtract())],
    "multiply": [joined(fb.Multiply())],
    "divide": [joined(lambda x, y: x / (y + 1.0))],
    "affine": [joined(lambda x, y: 2.0 * x + (0.5 - y))],
    "reciprocal": [joined(lambda x, y: x + 1.0 / (y + 0.5))],
    "concat": [joined(lambda x, y: fb.concat([x, y[:, :5], x]))],
    "slice": [joined(lambda x, y: x[:, 3:30] * y[:, 7:34])],
    "sum": [joined(lambda x, y: x * y.sum() + y)],
    "mean": [joined(lambda x, y: (x - x.mean()) * y)],
    "repeat": [joined(lambda x, y: x + fb.Repeat(37)(y[:, 4:5]))],
}
LOSSES = {
    **{name: [made()] for name, made in ALL_LOSSES.items()},
    "cross_entropy": [
        fb.CrossEntropy(),
        fb.CrossEntropy(label_smoothing=0.25, class_weights={1: 3.0, 2: 0.5}, ignore_index=0),
    ],
    "binary_cross_entropy": [fb.BinaryCrossEntropy(pos_weight=[1.0, 2.0, 3.0, 0.5, 1.5, 2.5])],
    "multi_margin": [fb.MultiMargin(), fb.MultiMargin(p=2, margin=0.5)],
    "half_mse": [fb.HalfMSE(reduction="sum")],
    "huber": [fb.Huber(0.5)],
    "quantile": [fb.Quantile([0.1, 0.25, 0.5, 0.75, 0.9, 0.95])],
}
OPTIMIZERS = {
    **{name: [made()] for name, made in ALL_OPTIMIZERS.items()},
    "sgd": [fb.SGD(0.05), fb.SGD(0.05, momentum=0.5), fb.SGD(0.05, momentum=0.5, nesterov=True, weight_decay=0.1)],
    "adagrad": [fb.Adagrad(lr_decay=0.1)],
    "rmsprop": [
        fb.RMSprop(),
        fb.RMSprop(momentum=0.5),
        fb.RMSprop(centered=True, eps=1e-2),
        fb.RMSprop(centered=True, momentum=0.5, eps=1e-2),
    ],
    "adam": [fb.Adam(), fb.Adam(amsgrad=True, weight_decay=0.1)],
    "adamw": [fb.AdamW(weight_decay=0.1)],
    "radam": [fb.RAdam(betas=(0.9, 0.9))],
    "lion": [fb.Lion(1e-3)],
    "muon": [fb.Muon(muon_lr=0.05, weight_decay=0.1)],
}


def cases() -> Iterator[tuple[str, Any, Any, Any]]:
    """Op, layers or what makes outputs of an input, loss, optimiser."""
    base = [fb.Linear(37), fb.Tanh(), fb.Linear(6)]
    for name, layers in LAYERS.items():
        last = name in ("softmax", "log_softmax")
        whole = [*layers, *base] if name == "embedding" else [fb.Linear(37), *layers, *([] if last else [fb.Linear(6)])]
        yield name, whole, fb.MSE() if last else fb.CrossEntropy(), fb.Adam(1e-2)
    joint = fb.JointLoss(["cross_entropy", "mse", "huber", fb.HalfMSE()], weights=[1.0, 0.5, 0.25, 0.125])
    for name, graphs in GRAPHS.items():
        for graph in graphs:
            yield name, graph, joint if graph is several else fb.CrossEntropy(), fb.Adam(1e-2)
    for name, losses in LOSSES.items():
        for loss in losses:
            outputs = 6 * loss.outputs_per_target
            yield name, [*base[:2], fb.Linear(outputs)], loss, fb.Adam(1e-2)
    for name, optimizers in OPTIMIZERS.items():
        for optimizer in optimizers:
            yield name, base, fb.CrossEntropy(), optimizer


def data(loss: Any) -> tuple[Any, Any]:
    X = fractions(ROWS * INPUTS, 0).reshape(ROWS, INPUTS)
    X[:, 1], X[:, 4] = np.arange(ROWS) % 4, np.arange(ROWS) % 6
    t = fractions(ROWS * 6, 1).reshape(ROWS, 6)
    if loss.kind == "joint":
        return X, (t.argmax(axis=1), t[:, :3], t[:, 3:5], t)
    if loss.of_labels:
        return X, t.argmax(axis=1)
    return X, np.abs(t) if loss.kind in ("binary_cross_entropy", "poisson") else t


def network(layers: Any, dtype: str) -> fb.Network:
    """Of a list of layers; of anything else with the rows in two inputs."""
    if isinstance(layers, list):
        return fb.Network(layers, inputs=INPUTS, seed=5, dtype=dtype)
    parts = [fb.Input(3), fb.Input(INPUTS - 3)]
    return fb.Network(inputs=parts, outputs=layers(fb.concat(parts)), seed=5, dtype=dtype)


def digest(layers: Any, loss: Any, optimizer: Any, threads: int) -> bytes:
    """SHA-256 of all that training such a network leaves behind, losses and outputs too."""
    out = hashlib.sha256()
    X, y = data(loss)
    weights = 1.0 + np.arange(ROWS) % 3
    for dtype in ("float32", "float64"):
        for words in ({}, {"clip_norm": 0.5, "accumulate": 2, "ema": 0.75}):
            net = network(layers, dtype)
            trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=BATCH, threads=threads, **words)
            history = trainer.run(X, y, STEPS, sample_weight=weights)
            kept = [np.array(history.loss), net.flat, net.states.flat(), trainer.evaluated.flat]
            outputs = net.predict(X, threads=threads)
            kept += outputs if isinstance(outputs, tuple) else (outputs,)
            kept += [net.vjp(X, np.ones((ROWS, net.outputs))), net.jvp(X, X), net.jacobian(X[:3])]
            for array in kept:
                out.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return out.digest()


def digests() -> dict[str, dict[str, str]]:
    plans.SERIAL_WORK = 0  # so that even these use the threads that they are given
    os.environ["FASTBP_TEAM"] = "all"
    found: dict[str, dict[str, str]] = {}
    for threads in THREADS:
        for name, *case in cases():
            before = found.setdefault(name, {}).get(str(threads), "")
            found[name][str(threads)] = hashlib.sha256(before.encode() + digest(*case, threads)).hexdigest()
    return found


if __name__ == "__main__":
    json.dump({"lanes": LANES, "digests": digests()}, sys.stdout)
