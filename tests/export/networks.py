"""Networks of every layer, with numbers that are not those of a beginning, and rows for them."""

import numpy as np

import fastbp as fb
from fastbp.spec.catalogue import ACTIVATIONS
from tests.model.layer_cases import LAYER_CASES

FORMULA = "where(x > 0.5, maximum(x, 1), minimum(x, -1) ** 2) / (2 + exp(-x)) - 3"


def branches():
    """Two inputs, two outputs, shared parameters, every gate."""
    x, z = fb.Input(3, "left"), fb.Input(4)
    shared = fb.Linear(5)
    h, g = shared(x, name="first"), fb.relu(fb.Linear(5)(z))
    s = fb.PReLU()(shared(x * 2.0 - 1.0))
    mixed = h * g + s / (2.0 + g * g) - h.mean() * g[:, 1:2]
    return {"inputs": [x, z], "outputs": [fb.Linear(2)(fb.concat([mixed, 2.0 / (h.sum() ** 2 + 1.0)])), h - g]}


def of_members():
    """Members whose signals are joined with those of all."""
    x = fb.Input(4)
    inside = fb.Members(5, "softmax")(fb.Linear(6)(x))
    h = fb.PReLU(per_feature=True)(fb.AdaptedLinear(6)(inside))
    return {"inputs": x, "outputs": fb.MemberLinear(3)(fb.concat([h + inside, fb.Linear(2)(x)]))}


NETWORKS = {
    **{f"{kind}{i}": {"layers": c.layers, "inputs": 3} for kind, cs in LAYER_CASES.items() for i, c in enumerate(cs)},
    **{name: {"layers": [fb.Linear(5), made()], "inputs": 3} for name, made in ACTIVATIONS.items()},
    "settings": {
        "layers": [fb.Linear(6, ntk=True), fb.LeakyReLU(0.2), fb.ELU(0.5), fb.Softplus(2.0), fb.Hardtanh(-0.5, 0.25)],
        "inputs": 3,
    },
    "dropout": {"layers": [fb.Linear(4, bias=False), fb.Dropout(0.3), fb.Linear(1)], "inputs": 3},
    "eps": {"layers": [fb.Linear(4), fb.RMSNorm(), fb.LayerNorm(1e-2), fb.BatchNorm(1e-3, 0.2)], "inputs": 3},
    "formula": {"layers": [fb.activation(FORMULA), fb.Linear(2), fb.activation(FORMULA)], "inputs": 3},
    "gates": {
        "layers": [fb.activation(lambda x: np.hypot(x, 1.5) * np.sign(x) + (x > 0.1) + (x <= 0.2) * np.arctan(x))],
        "inputs": 3,
    },
    "members": {"layers": [fb.Members(4), fb.MemberScale(), fb.Linear(6), fb.ReLU(), fb.MemberLinear(2)], "inputs": 3},
    "cut": {"layers": [fb.Linear(6), fb.Slice(1, 4), fb.Affine(2.0, 0.5), fb.Linear(2)], "inputs": 3},
    "one number": {"layers": [fb.Linear(6), fb.Sum(), fb.Reciprocal(2.0), fb.Repeat(3), fb.Mean()], "inputs": 3},
    "branches": branches(),
    "of members": of_members(),
}


def network(name, dtype="float32"):
    """A network of these with other numbers than at first, and rows for it."""
    net = fb.Network(**NETWORKS[name], dtype=dtype, seed=1)
    rng = np.random.default_rng(2)
    for part in net.parameters:
        net.parameters[part] = net.parameters[part] + 0.3 * rng.normal(size=net.parameters[part].shape)
    for part in net.states:
        net.states[part] = 0.5 + rng.random(net.states[part].shape)
    X = (2.0 * rng.normal(size=(17, net.inputs))).astype(dtype)
    for column, count in net.graph.codes():
        X[:, column] = rng.integers(count, size=17)
    return net, X
