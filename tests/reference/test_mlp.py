"""Networks of twins: gradients against the textbook, differences and torch; training against the same by hand."""

import math

import numpy as np
import pytest

from fastbp import reference
from tests.reference.climb import DIFFERENCES
from tests.reference.scalar import scalar_permutation


def mlp(dtype: str, *middle: tuple, loss: str = "cross_entropy") -> reference.MLP:
    """Build a 5-7-3 net with `middle` between its two products."""
    first = reference.linear_init(5, 7, 0, seed=3, dtype=dtype)
    last = reference.linear_init(7, 3, 1 + len(middle), seed=3, dtype=dtype)
    return reference.MLP([first, *middle, last], loss=loss)


def slope_along(net, direction, function, h=1e-6):
    """Central difference of function() as every parameter of `net` moves along `direction`."""
    start = net.theta.copy()
    net.theta[:] = start + h * direction
    above = function()
    net.theta[:] = start - h * direction
    below = function()
    net.theta[:] = start
    return (above - below) / (2 * h)


@pytest.mark.parametrize(
    "middle",
    [*((name,) for name in reference.ACTIVATIONS), ("leaky_relu", 0.3), ("elu", 0.5), ("hardtanh", -2.0, 0.5)],
    ids=lambda layer: "-".join(map(str, layer)),
)
def test_vjp_and_jvp_of_a_network_are_adjoint_and_match_central_differences(rng, middle):
    net = mlp("float64", middle, ("dropout", 0.5), loss="mse")
    X, v, u = (rng.standard_normal(shape) for shape in [(6, 5), (6, 5), (6, 3)])
    tangent = net.jvp(X, v)
    slope = (net.forward(X + 1e-6 * v) - net.forward(X - 1e-6 * v)) / 2e-6
    assert np.allclose(tangent, slope, rtol=0, atol=DIFFERENCES)
    dX, gradients = net.vjp(X, u)
    assert np.isclose(np.sum(dX * v), np.sum(u * tangent), rtol=1e-12)
    direction = rng.standard_normal(net.theta.size)
    pulled = np.concatenate([gradients[name].ravel() for name in net.parameters]) @ direction
    assert np.isclose(pulled, slope_along(net, direction, lambda: np.sum(u * net.forward(X))), rtol=1e-7)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(
    "middle",
    [(("relu",),), (("silu",), ("leaky_relu", 0.1)), (("tanh",), ("dropout", 0.4)), (("dropout", 0.4), ("sigmoid",))],
)
def test_gradients_of_a_network_match_central_differences_on_a_random_direction(rng, loss, middle):
    net = mlp("float64", *middle, loss=loss)
    X = rng.standard_normal((6, 5))
    y = rng.integers(0, 3, 6) if loss == "cross_entropy" else rng.standard_normal((6, 3))
    _, gradients = net.loss_and_gradients(X, y, step=11, seed=5)
    direction = rng.standard_normal(net.theta.size)
    slope = slope_along(net, direction, lambda: net.loss_and_gradients(X, y, step=11, seed=5)[0])
    assert list(gradients) == ["0.weight", "0.bias", f"{1 + len(middle)}.weight", f"{1 + len(middle)}.bias"]
    along = np.concatenate([g.ravel() for g in gradients.values()]) @ direction
    assert np.isclose(along, slope, rtol=1e-7)


def test_the_two_layer_relu_net_has_the_gradients_of_the_textbook(rng):
    """Column vectors, x2 = W1 x1, x3 = relu(x2), x4 = W2 x3, and cross-entropy on x4:

    u2 = p - y, u1 = (W2ᵀ u2) ∘ H(x2), dL/dW2 = u2 x3ᵀ, dL/dW1 = u1 x1ᵀ.
    """
    W1, W2, x1 = rng.standard_normal((7, 5)), rng.standard_normal((3, 7)), rng.standard_normal((5, 1))
    x2 = W1 @ x1
    H = (x2 > 0).astype(float)
    assert 0 < H.sum() < 7
    x3 = x2 * H
    x4 = W2 @ x3
    p = np.exp(x4) / np.exp(x4).sum()
    y = np.array([[0.0], [0.0], [1.0]])
    u2 = p - y
    u1 = (W2.T @ u2) * H

    layers = [("linear", W1.T, np.zeros(7)), ("relu",), ("linear", W2.T, np.zeros(3))]
    loss, gradients = reference.MLP(layers).loss_and_gradients(x1.T, np.array([2]))
    assert math.isclose(loss, -math.log(p[2, 0]), rel_tol=1e-12)
    for name, expected in {
        "2.weight": (u2 @ x3.T).T,
        "2.bias": u2[:, 0],
        "0.weight": (u1 @ x1.T).T,
        "0.bias": u1[:, 0],
    }.items():
        assert np.allclose(gradients[name], expected, rtol=1e-12, atol=1e-14), name


def test_a_run_is_the_steps_over_shuffled_batches_with_the_dropout_of_each_step(rng):
    X, y = rng.standard_normal((10, 5)), rng.integers(0, 3, 10)
    net, by_hand = (mlp("float64", ("relu",), ("dropout", 0.3)) for _ in range(2))
    losses = net.run(X, y, steps=7, batch_size=4, seed=9, optimizer=reference.adam)
    theta, state, expected = by_hand.theta.copy(), {}, []
    for t in range(7):
        rows = scalar_permutation(10, 9, epoch=t // 3)[4 * (t % 3) :][:4]
        assert len(rows) == (2 if t % 3 == 2 else 4)
        loss, gradients = by_hand.loss_and_gradients(X[rows], y[rows], step=t, seed=9)
        theta, state = reference.adam(theta, np.concatenate([g.ravel() for g in gradients.values()]), state)
        by_hand.theta[:] = theta
        expected.append(loss)
    assert np.allclose(losses, expected, rtol=1e-12)
    assert np.allclose(net.theta, theta, rtol=1e-12)


def test_two_runs_continue_where_one_would_go(rng):
    X, y = rng.standard_normal((10, 5)), rng.integers(0, 3, 10)
    whole, halves = (mlp("float32", ("relu",), ("dropout", 0.3)) for _ in range(2))
    losses = whole.run(X, y, 8, 4, 1, reference.adam)
    assert halves.run(X, y, 5, 4, 1, reference.adam) + halves.run(X, y, 3, 4, 1, reference.adam) == losses
    assert np.array_equal(whole.theta, halves.theta)


def test_dropout_is_off_in_inference_and_on_in_training(rng):
    net = mlp("float64", ("dropout", 0.5))
    X = rng.standard_normal((6, 5))
    hidden = X @ net.parameters["0.weight"] + net.parameters["0.bias"]
    kept = reference.dropout_mask(6, 7, 0.5, seed=4, step=3, node=1)
    for x, y in [(hidden, net.forward(X)), (2 * hidden * kept, net.forward(X, step=3, seed=4))]:
        assert np.allclose(y, x @ net.parameters["2.weight"] + net.parameters["2.bias"], rtol=1e-12)


def test_blocks_of_the_optimiser_change_no_bit(rng, monkeypatch):
    X, y = rng.standard_normal((10, 5)), rng.integers(0, 3, 10)
    whole = mlp("float32", ("relu",))
    monkeypatch.setattr(reference.mlp, "BLOCK", 13)
    blocks = mlp("float32", ("relu",))
    assert whole.run(X, y, 5, 4, 1, reference.adamw) == blocks.run(X, y, 5, 4, 1, reference.adamw)
    assert np.array_equal(whole.theta, blocks.theta)


def test_layers_below_the_first_product_need_no_gradient(rng):
    W, b = rng.standard_normal((5, 3)), rng.standard_normal(3)
    X, y = rng.standard_normal((6, 5)), rng.integers(0, 3, 6)
    loss, gradients = reference.MLP([("tanh",), ("linear", W, b)]).loss_and_gradients(X, y)
    same, expected = reference.MLP([("linear", W, b)]).loss_and_gradients(np.tanh(X), y)
    assert loss == same
    assert np.array_equal(gradients["1.weight"], expected["0.weight"])


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_twenty_steps_follow_torch(rng, name, loss):
    torch = pytest.importorskip("torch")
    net = mlp("float64", ("relu",), loss=loss)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3)).double()
    with torch.no_grad():
        for key, value in model.named_parameters():
            natural = torch.from_numpy(net.parameters[key].copy())
            value.copy_(natural.T if value.ndim == 2 else natural)
    theirs, ours = {
        "sgd": (lambda p: torch.optim.SGD(p, lr=0.1), lambda *a: reference.sgd(*a, lr=0.1)),
        "momentum": (
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
            lambda *a: reference.sgd(*a, lr=0.1, momentum=0.9),
        ),
        "adam": (lambda p: torch.optim.Adam(p, lr=0.01), lambda *a: reference.adam(*a, lr=0.01)),
        "adamw": (torch.optim.AdamW, reference.adamw),
    }[name]
    optimizer = theirs(model.parameters())
    criterion = {"cross_entropy": torch.nn.CrossEntropyLoss(), "mse": torch.nn.MSELoss()}[loss]
    for _ in range(20):
        X = rng.standard_normal((8, 5))
        y = rng.integers(0, 3, 8) if loss == "cross_entropy" else rng.standard_normal((8, 3))
        optimizer.zero_grad()
        value = criterion(model(torch.from_numpy(X)), torch.from_numpy(y))
        value.backward()
        optimizer.step()
        assert math.isclose(net.step(X, y, ours), value.item(), rel_tol=1e-10)
    for key, value in model.named_parameters():
        theirs_now = value.detach().numpy()
        assert np.allclose(net.parameters[key], theirs_now.T, rtol=1e-9, atol=1e-12), key
