"""Products with the Hessian of a network's loss: against differences of gradients, and JAX where it is installed."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ShapeError
from fastbp.lowering.registry import OPS
from fastbp.model import traced
from fastbp.spec.activations import Activation
from fastbp.spec.catalogue import ACTIVATIONS, LOSSES
from fastbp.spec.losses import Loss
from tests.model.random_graphs import network

TOLERANCE = 1e-8  # of the largest product, what central differences of gradients allow
BODY = [fb.Linear(12), fb.Tanh()]
LAYERS = {
    "layer_norm": [fb.LayerNorm()],
    "rms_norm": [fb.RMSNorm()],
    "batch_norm": [fb.BatchNorm()],
    "scale": [fb.Scale()],
    "linear": [fb.Linear(6, ntk=True)],
    "softmax": [fb.Softmax()],
    "log_softmax": [fb.LogSoftmax()],
    "dropout": [fb.Dropout(0.5)],
    "slice": [fb.Slice(2, 9)],
    "sum": [fb.Sum()],
    "mean": [fb.Mean(), fb.Repeat(4)],
    "affine": [fb.Affine(0.5, 2.0), fb.Reciprocal(1.5)],
    "prelu": [fb.PReLU(per_feature=True)],
    "parametric": [fb.Parametric("mish", init=0.5)],
    "custom": [fb.activation("x * sin(x)")],
}
RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(9, 4)), RNG.normal(size=(9, 4))
LABELS, ONES = np.arange(9) % 4, (T > 0.0) * 1.0
P = np.exp(T) / np.exp(T).sum(axis=1, keepdims=True)
CASES = [
    ("cross_entropy", LABELS),
    ("cross_entropy", P),
    (fb.CrossEntropy(0.1, [1.0, 2.0, 3.0, 4.0]), LABELS),
    (fb.CrossEntropy(0.2, [1.0, 2.0, 3.0, 4.0]), P),
    (fb.CrossEntropy(class_weights=[1.0, 2.0, 3.0, 4.0], ignore_index=2), LABELS),
    ("multi_margin", LABELS),
    (fb.MultiMargin(p=2, margin=0.5), LABELS),
    ("binary_cross_entropy", ONES),
    (fb.BinaryCrossEntropy([1.0, 2.0, 3.0, 4.0]), ONES),
    ("mse", T),
    (fb.MSE(reduction="sum"), T),
    ("half_mse", T),
    ("mae", T),
    (fb.Huber(0.5), T),
    (fb.Quantile([0.1, 0.3, 0.5, 0.9]), T),
    ("log_cosh", T),
    ("poisson", np.abs(T)),
    ("gaussian_nll", T[:, :2]),
    ("abs(z - t) ** 3", T),
]


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients.values()])


def differences(net, X, y, v, loss, weights=None, h=1e-5):
    """(g(θ + h v) - g(θ - h v)) / 2h, twice, so that the error of order h² goes."""
    theta = net.flat

    def slope(step):
        ends = []
        for sign in (1.0, -1.0):
            net.flat = theta + sign * step * v
            ends.append(flat(net.loss_and_gradients(X, y, loss, weights)[1]))
        net.flat = theta
        return (ends[0] - ends[1]) / (2.0 * step)

    return (4.0 * slope(h) - slope(2.0 * h)) / 3.0


def assert_product(net, X, y, loss, weights=None):
    v = np.random.default_rng(1).normal(size=net.flat.shape)
    v /= np.linalg.norm(v)
    expected = differences(net, X, y, v, loss, weights)
    found = net.hessian_vector(X, y, v, loss, weights)
    assert np.abs(found - expected).max() <= TOLERANCE * max(np.abs(expected).max(), 1e-3)
    assert np.abs(expected).max() > 1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_has_the_curvature_of_its_gradients(name):
    assert_product(fb.mlp([4, 11, 3], activation=name, dtype="float64", seed=1), X, T[:, :3], "mse")


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_curvature_of_its_gradients(name):
    net = fb.Network([*BODY, *LAYERS[name], fb.Linear(4)], inputs=4, dtype="float64", seed=2)
    for part in net.states:
        net.states[part] = np.abs(net.states[part] + RNG.normal(size=net.states[part].shape)) + 0.1
    assert_product(net, X, T, "mse")


def test_tables_of_an_embedding_have_curvature():
    codes = X.copy()
    codes[:, 1], codes[:, 3] = np.arange(9) % 3, np.arange(9) % 2
    layers = [fb.Embedding({1: (3, 2), 3: (2, 5)}), *BODY, fb.Linear(4)]
    assert_product(fb.Network(layers, inputs=4, dtype="float64", seed=2), codes, T, "mse")


def test_tables_behind_several_cuts_have_curvature():
    x = fb.Input(6)
    first = fb.Embedding({0: (4, 3)})(x[:, 1:2])
    second = fb.Embedding({0: (4, 3)})(x[:, 1:3][:, 1:2])
    third = fb.Embedding({1: (2, 2)})(x[:, 3:][:, 1:])
    h = fb.Tanh()(fb.Linear(6)(fb.concat([first, second, third, x[:, 0:1]])))
    net = fb.Network(inputs=x, outputs=fb.Linear(4)(h), dtype="float64", seed=1)
    codes = np.random.default_rng(3).normal(size=(9, 6))
    codes[:, 1], codes[:, 2], codes[:, 5] = np.arange(9) % 4, np.arange(9) // 2 % 4, np.arange(9) % 2
    assert_product(net, codes, T, "mse")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "y"), CASES, ids=lambda v: str(v)[:40] if not isinstance(v, np.ndarray) else "")
def test_a_loss_has_the_curvature_of_its_gradients(loss, y, weighted):
    net = fb.Network([*BODY, fb.Linear(4)], inputs=4, dtype="float64", seed=3)
    assert_product(net, X, y, loss, np.linspace(0.5, 2.0, 9) if weighted else None)


@pytest.mark.parametrize("seed", range(0, 50, 3))
def test_a_random_network_has_the_curvature_of_its_gradients(seed):
    net, rng = network(seed), np.random.default_rng(seed)
    rows, splits = rng.normal(size=(7, net.inputs)), net.graph.splits
    y = tuple(rng.normal(size=(7, width)) for width in splits)
    loss = fb.JointLoss(["mse"] * len(splits), [1.0, 0.5, 2.0][: len(splits)]) if len(splits) > 1 else "mse"
    assert_product(net, rows, y if len(splits) > 1 else y[0], loss)


def test_the_product_is_symmetric_and_linear():
    net = fb.mlp([4, 9, 4], activation="gelu", dtype="float64")
    rng = np.random.default_rng(2)
    u, v = rng.normal(size=(2, *net.flat.shape))
    Hu, Hv = (net.hessian_vector(X, LABELS, w) for w in (u, v))
    assert abs(u @ Hv - v @ Hu) < 1e-13 * np.abs(u * Hv).sum()
    assert np.abs(net.hessian_vector(X, LABELS, 2.0 * u - v) - (2.0 * Hu - Hv)).max() < 1e-13


def test_a_dict_in_is_a_dict_out():
    net = fb.mlp([4, 9, 4], dtype="float64")
    v = {name: np.ones(value.shape) for name, value in net.parameters.items()}
    found = net.hessian_vector(X, LABELS, v)
    assert list(found) == list(net.parameters)
    assert np.array_equal(flat(found), net.hessian_vector(X, LABELS, flat(v)))


def test_float32_is_close_to_float64():
    single, double = (fb.mlp([4, 33, 4], activation="tanh", dtype=dtype) for dtype in ("float32", "float64"))
    double.flat = single.flat
    v = np.ones(single.flat.shape)
    exact = double.hessian_vector(X, LABELS, v)
    found = single.hessian_vector(X, LABELS, v)
    assert found.dtype == np.float32
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()


def test_other_rows_and_parameters_are_seen_by_the_second_product():
    net = fb.mlp([4, 9, 4], activation="tanh", dtype="float64")
    v = np.ones(net.flat.shape)
    before = net.hessian_vector(X, LABELS, v)
    assert not np.array_equal(net.hessian_vector(X[::-1], LABELS, v), before)
    net.flat = net.flat * 1.5
    assert_product(net, X, LABELS, "cross_entropy")


def test_newtons_step_finds_the_minimum_of_a_quadratic():
    """For a linear network and half_mse the loss is quadratic: θ - H⁻¹ g is its minimum."""
    net = fb.Network([fb.Linear(1)], inputs=3, dtype="float64")
    y = X[:, :3] @ [[1.0], [-2.0], [0.5]] + 0.25
    size = net.flat.size
    H = np.stack([net.hessian_vector(X[:, :3], y, row, "half_mse") for row in np.eye(size)])
    gradient = flat(net.loss_and_gradients(X[:, :3], y, "half_mse")[1])
    net.flat = net.flat - np.linalg.solve(H, gradient)
    assert np.allclose(net.flat, [1.0, -2.0, 0.5, 0.25], atol=1e-12)


@pytest.mark.parametrize(
    ("v", "message"),
    [
        (np.ones(3), "`v` must have shape `(15,)`, got `(3,)`"),
        ({"0.weight": np.ones((4, 3))}, "`v` must have the names of the parameters, `0.weight`, `0.bias`"),
        (
            {"0.weight": np.ones((3, 4)), "0.bias": np.ones(3)},
            "`v['0.weight']` must have shape `(4, 3)`, got `(3, 4)`",
        ),
    ],
)
def test_what_is_not_shaped_like_the_parameters_is_refused(v, message):
    with pytest.raises(ShapeError) as info:
        fb.Network([fb.Linear(3)], inputs=4).hessian_vector(X, LABELS % 3, v)
    assert str(info.value) == message


def test_every_layer_and_loss_has_its_formula_in_gates():
    made = [make() for make in ACTIVATIONS.values()]
    texts = {layer.op for layer in made if isinstance(layer, Activation) and layer.formula} | {"custom"}
    here = {*texts, *traced.PLAIN, *traced.LAYERS, *traced.PAIRS, "add", "concat", "embedding"}
    assert here == {name for name, op in OPS.items() if op.family != "loss"}
    assert all(kind.formula or kind.of_rows is not Loss.of_rows for kind in LOSSES.values())
