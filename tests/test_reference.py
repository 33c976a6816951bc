"""The NumPy twin against what shares no code with it: published vectors, scalar loops, differences, torch."""

import doctest
import math

import numpy as np
import pytest

from fastbp import reference

TOLERANCE = {"float32": 2e-6, "float64": 1e-12}
DIFFERENCES = 1e-8  # of central differences in float64 with a step of 1e-5, relative to the terms
M32 = 0xFFFFFFFF


def scalar_philox(counter: list[int], seed: int) -> list[int]:
    """Philox4x32-10 with Python integers, as the paper writes it: two S-boxes, then bump the key."""
    left1, right1, left2, right2 = counter[1], counter[0], counter[3], counter[2]
    key0, key1 = seed % 2**32, seed // 2**32
    for _ in range(10):
        high0, low0 = divmod(right1 * 0xD2511F53, 2**32)
        high1, low1 = divmod(right2 * 0xCD9E8D57, 2**32)
        right1, left1, right2, left2 = high1 ^ left1 ^ key0, low1, high0 ^ left2 ^ key1, low0
        key0, key1 = (key0 + 0x9E3779B9) % 2**32, (key1 + 0xBB67AE85) % 2**32
    return [right1, left1, right2, left2]


def scalar_permutation(n: int, seed: int, epoch: int) -> list[int]:
    perm = list(range(n))
    for draw, i in enumerate(range(n - 1, 0, -1)):
        word = scalar_philox([draw // 4, epoch, 0, 1], seed)[draw % 4]
        j = (word * (i + 1)) // 2**32
        perm[i], perm[j] = perm[j], perm[i]
    return perm


def scalar_mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)


def mlp(dtype: str, *middle: tuple, loss: str = "cross_entropy") -> reference.MLP:
    """Build a 5-7-3 net with `middle` between its two products."""
    first = reference.linear_init(5, 7, 0, seed=3, dtype=dtype)
    last = reference.linear_init(7, 3, 1 + len(middle), seed=3, dtype=dtype)
    return reference.MLP([first, *middle, last], loss=loss)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


# Random numbers


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((M32, M32, M32, M32), (M32, M32), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox_gives_the_vectors_published_with_random123(counter, key, expected):
    assert tuple(reference.philox4x32(counter, key).tolist()) == expected
    assert tuple(scalar_philox(list(counter), key[0] + 2**32 * key[1])) == expected


def test_philox_of_many_counters_is_philox_of_each(rng):
    counters = rng.integers(0, 2**32, (3, 5, 4))
    words = reference.philox4x32(counters, (7, 2**31 + 5))
    assert words.dtype == np.uint32
    for at in np.ndindex(3, 5):
        assert words[at].tolist() == scalar_philox(counters[at].tolist(), 7 + 2**32 * (2**31 + 5))


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 9, 2**64 - 1])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 6, 97, 1000])
def test_a_permutation_is_the_one_a_scalar_loop_makes(n, seed):
    order = reference.permutation(n, seed, epoch=3)
    assert order.tolist() == scalar_permutation(n, seed, 3)
    assert sorted(order.tolist()) == list(range(n))


def test_permutations_differ_between_epochs_and_seeds():
    orders = {tuple(reference.permutation(50, seed, epoch)) for seed in (0, 1, 2**32) for epoch in range(4)}
    assert len(orders) == 12


def test_every_order_of_three_rows_is_equally_likely():
    orders = [tuple(reference.permutation(3, 5, epoch)) for epoch in range(1200)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(abs(count - 200) for count in counts) < 5 * math.sqrt(200)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_init_matches_the_formula_in_python_floats(dtype):
    W = reference.uniform_init((3, 7), 0.25, seed=2**40 + 1, tensor=6, dtype=dtype)
    words = [scalar_philox([j // 4, 0, 6, 0], 2**40 + 1)[j % 4] for j in range(21)]
    expected = [(2 * ((word + 0.5) / 2**32) - 1) * 0.25 for word in words]
    assert W.dtype == dtype
    assert W.ravel().tolist() == np.array(expected, dtype).tolist()


def test_a_linear_layer_starts_uniform_within_one_over_root_fan_in():
    _, W, b = reference.linear_init(400, 50, node=2)
    assert np.array_equal(W, reference.uniform_init((400, 50), 0.05, 0, tensor=4))
    assert np.array_equal(b, reference.uniform_init((50,), 0.05, 0, tensor=5))
    assert 0.0499 < np.abs(W).max() <= np.float32(0.05)
    assert abs(W.std() - 0.05 / math.sqrt(3)) < 2e-4
    assert abs(W.mean()) < 5 * W.std() / math.sqrt(W.size)


# Dropout


@pytest.mark.parametrize("step", [0, 2**32 + 3])
def test_a_dropout_mask_is_the_one_a_scalar_loop_makes(step):
    seed, node, p = 2**33 + 17, 4, 0.3
    k0, k1, _, _ = scalar_philox([step % 2**32, step // 2**32, node, 2], seed)
    draws = [[scalar_mix(scalar_mix(r ^ k0) ^ k1 ^ c) for c in range(19)] for r in range(11)]
    kept = reference.dropout_mask(11, 19, p, seed, step, node)
    assert kept.tolist() == [[u >= round(p * 2**32) for u in row] for row in draws]
    assert 0 < kept.sum() < kept.size


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_one_minus_p_and_preserves_the_mean(p):
    kept = reference.dropout_mask(400, 500, p, seed=1, step=7, node=2)
    deviation = math.sqrt(p * (1 - p) / kept.size)
    assert abs(kept.mean() - (1 - p)) < 4 * deviation
    for axis in (0, 1):
        of_one_line = math.sqrt(p * (1 - p) / kept.shape[axis])
        assert np.abs(kept.mean(axis=axis) - (1 - p)).max() < 5.5 * of_one_line
    y = reference.dropout_forward(np.ones((400, 500)), kept, p)
    assert abs(y.mean() - 1) < 4 * deviation / (1 - p)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_scales_what_it_keeps_and_zeroes_the_rest(rng, dtype):
    x = rng.standard_normal((5, 6)).astype(dtype)
    kept = reference.dropout_mask(5, 6, 0.3, seed=0, step=0, node=1)
    for op in (reference.dropout_forward, reference.dropout_vjp, reference.dropout_jvp):
        y = op(x, kept, 0.3)
        assert y.dtype == dtype
        assert np.array_equal(y[kept], x[kept] * np.dtype(dtype).type(1 / (1 - 0.3)))
        assert not y[~kept].any()


def test_dropout_masks_differ_between_steps_layers_and_seeds_and_not_between_batch_sizes():
    mask = reference.dropout_mask(8, 16, 0.5, seed=0, step=0, node=1)
    for change in ({"seed": 2**32}, {"step": 1}, {"node": 3}):
        other = reference.dropout_mask(8, 16, 0.5, **{"seed": 0, "step": 0, "node": 1, **change})
        assert 30 < np.sum(mask != other) < 98
    assert np.array_equal(reference.dropout_mask(3, 5, 0.5, 0, 0, 1), mask[:3, :5])


def test_dropout_of_probability_zero_changes_nothing():
    assert reference.dropout_mask(40, 50, 0.0, seed=0, step=0, node=0).all()


# Derivatives


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 13)], ids=str)
def test_an_activation_vjp_and_jvp_match_central_differences(rng, name, shape):
    forward, vjp, jvp = reference.ACTIVATIONS[name]
    x, t, u = (rng.standard_normal(shape) for _ in range(3))
    x += 0.01 * np.sign(x)  # away from the kink of relu
    h = 1e-5
    slope = (forward(x + h * t) - forward(x - h * t)) / (2 * h)
    y = forward(x)
    assert np.allclose(jvp(t, y), slope, rtol=0, atol=DIFFERENCES)
    assert np.isclose(np.sum(vjp(u, y) * t), np.sum(u * slope), rtol=0, atol=DIFFERENCES * max(1, x.size))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations_keep_the_dtype_let_nan_travel_and_survive_extremes(name, dtype):
    forward, vjp, _ = reference.ACTIVATIONS[name]
    x = np.array([-1e4, -1.0, 0.0, 1.0, 1e4, np.nan], dtype)
    y = forward(x)
    expected = {
        "identity": lambda v: v,
        "relu": lambda v: max(v, 0.0),
        "tanh": math.tanh,
        "sigmoid": lambda v: 0.5 + 0.5 * math.tanh(0.5 * v),
    }[name]
    assert y.dtype == vjp(y, y).dtype == dtype
    assert np.allclose(y[:5], [expected(v) for v in x[:5].tolist()], rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert np.isnan(y[5])
    assert np.isfinite(vjp(np.ones(5, dtype), y[:5])).all()


def test_relu_has_no_slope_at_zero():
    y = reference.relu_forward(np.array([-2.0, 0.0, 3.0]))
    assert reference.relu_vjp(np.full(3, 5.0), y).tolist() == [0, 0, 5]
    assert reference.relu_jvp(np.full(3, 5.0), y).tolist() == [0, 0, 5]


@pytest.mark.parametrize(("B", "I", "O"), [(0, 2, 3), (1, 1, 1), (4, 7, 3), (31, 16, 17)])
def test_linear_matches_sums_over_indices(rng, B, I, O):
    x, W, b, dz = (rng.standard_normal(shape) for shape in [(B, I), (I, O), (O,), (B, O)])
    dx, dW, db = reference.linear_vjp(dz, x, W)
    close = {"rtol": 1e-12, "atol": 1e-12}
    assert np.allclose(reference.linear_forward(x, W, b), np.einsum("bi,io->bo", x, W) + b, **close)
    assert np.allclose(reference.linear_jvp(x, W), np.einsum("bi,io->bo", x, W), **close)
    assert np.allclose(dx, np.einsum("bo,io->bi", dz, W), **close)
    assert np.allclose(dW, sum((np.outer(x[r], dz[r]) for r in range(B)), np.zeros((I, O))), **close)
    assert np.allclose(db, np.einsum("bo->o", dz), **close)


def test_linear_vjp_and_jvp_are_adjoint(rng):
    x, W, dz, tx = (rng.standard_normal(shape) for shape in [(5, 7), (7, 3), (5, 3), (5, 7)])
    dx, _, _ = reference.linear_vjp(dz, x, W)
    assert np.isclose(np.sum(dz * reference.linear_jvp(tx, W)), np.sum(dx * tx), rtol=1e-12)


@pytest.mark.parametrize("middle", ["relu", "tanh", "sigmoid", "identity"])
def test_vjp_and_jvp_of_a_network_are_adjoint_and_match_central_differences(rng, middle):
    net = mlp("float64", (middle,), ("dropout", 0.5), loss="mse")
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
@pytest.mark.parametrize("middle", [(("relu",),), (("tanh",), ("dropout", 0.4)), (("dropout", 0.4), ("sigmoid",))])
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


def slope_along(net, direction, function, h=1e-6):
    """Central difference of function() as every parameter of `net` moves along `direction`."""
    start = net.theta.copy()
    net.theta[:] = start + h * direction
    above = function()
    net.theta[:] = start - h * direction
    below = function()
    net.theta[:] = start
    return (above - below) / (2 * h)


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


# Losses


def test_the_derivative_of_cross_entropy_is_p_minus_y(rng):
    z, labels = rng.standard_normal((4, 5)), np.array([0, 4, 2, 2])
    loss, dz = reference.cross_entropy(z, labels)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    assert np.allclose(dz, (p - np.eye(5)[labels]) / 4, rtol=1e-12, atol=1e-15)
    assert math.isclose(loss, -np.mean(np.log(p[np.arange(4), labels])), rel_tol=1e-12)
    assert np.allclose(reference.cross_entropy_rows(z, labels), -np.log(p[np.arange(4), labels]), rtol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_dz_of_a_loss_matches_central_differences_on_every_logit(rng, loss):
    function = reference.LOSSES[loss]
    z = rng.standard_normal((4, 5))
    y = rng.integers(0, 5, 4) if loss == "cross_entropy" else rng.standard_normal((4, 5))
    _, dz = function(z, y)
    for at in np.ndindex(4, 5):
        e = np.zeros((4, 5))
        e[at] = 1e-5
        assert abs(dz[at] - (function(z + e, y)[0] - function(z - e, y)[0]) / 2e-5) < DIFFERENCES


def test_mse_is_the_mean_over_all_elements():
    z, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    loss, dz = reference.mse(z, y)
    assert loss == (1 + 4 + 4 + 16) / 4
    assert dz.tolist() == [[0.5, 1.0], [1.0, 2.0]]
    assert reference.mse_rows(z, y).tolist() == [2.5, 10.0]


def test_mse_takes_flat_targets_for_one_output():
    z, y = np.array([[1.0], [2.0], [4.0]]), np.array([0.0, 0.0, 1.0])
    loss, dz = reference.mse(z, y)
    assert math.isclose(loss, 14 / 3)
    assert dz.shape == (3, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_survives_extreme_logits_and_keeps_the_dtype(dtype):
    z = np.array([[1e4, -1e4, 0.0], [0.0, -1e4, 1e4]], dtype)
    loss, dz = reference.cross_entropy(z, np.array([0, 0]))
    assert loss == 5000.0
    assert dz.dtype == dtype
    assert dz.tolist() == [[0, 0, 0], [-0.5, 0, 0.5]]


# Optimisers


def python_sgd(theta, gradients, lr, momentum):
    m = 0.0
    for g in gradients:
        m = momentum * m + g
        theta -= lr * m
    return theta


def python_adam(theta, gradients, lr, beta1, beta2, eps, weight_decay):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        theta *= 1 - lr * weight_decay
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        theta -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return theta


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("optimizer", "options", "expected"),
    [
        (reference.sgd, {"lr": np.float64(0.1)}, lambda p, g: python_sgd(p, g, 0.1, 0.0)),
        (reference.sgd, {"lr": np.float64(0.1), "momentum": 0.9}, lambda p, g: python_sgd(p, g, 0.1, 0.9)),
        (reference.adam, {}, lambda p, g: python_adam(p, g, 1e-3, 0.9, 0.999, 1e-8, 0.0)),
        (
            reference.adam,
            {"lr": np.float64(0.02), "betas": (0.5, 0.8), "eps": 0.1},
            lambda p, g: python_adam(p, g, 0.02, 0.5, 0.8, 0.1, 0.0),
        ),
        (reference.adamw, {}, lambda p, g: python_adam(p, g, 1e-3, 0.9, 0.999, 1e-8, 0.01)),
        (
            reference.adamw,
            {"lr": np.float64(0.02), "weight_decay": 0.5},
            lambda p, g: python_adam(p, g, 0.02, 0.9, 0.999, 1e-8, 0.5),
        ),
    ],
    ids=["sgd", "momentum", "adam", "adam-options", "adamw", "adamw-options"],
)
def test_an_optimiser_follows_its_formula_in_python_floats(rng, optimizer, options, expected, dtype):
    theta = rng.standard_normal(3).astype(dtype)
    gradients = rng.standard_normal((6, 3)).astype(dtype)
    start, given, state = theta.tolist(), gradients.copy(), {}
    untouched = theta
    for g in gradients:
        theta, state = optimizer(theta, g, state, **options)
    assert theta.dtype == dtype
    assert all(value.dtype == dtype for value in state.values() if isinstance(value, np.ndarray))
    want = [expected(start[i], given[:, i].tolist()) for i in range(3)]
    assert np.allclose(theta, want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert untouched.tolist() == start
    assert np.array_equal(gradients, given)


# Training


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
    monkeypatch.setattr(reference, "BLOCK", 13)
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


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(reference)
    assert result.attempted >= 15
    assert result.failed == 0


# PyTorch


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
