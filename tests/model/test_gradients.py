"""Gradients in the parameters and in the inputs: against the twin, against differences, against each other."""

import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine import threads as team
from fastbp.lowering import plans
from tests.model.chains import CODES, DTYPES, assert_close, build, data, twin

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_loss = pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
every_code = pytest.mark.parametrize("code", CODES)
WITH_WEIGHTS = [code for code in CODES if "L" in code]
DIFFERENCES = 1e-7  # relative to the largest derivative; float64, step H
H = 1e-6


def gradients_of_twin(net, X, y, loss):
    expected, gradients = twin(net, loss).loss_and_gradients(X, y)
    return expected, {name: gradients[name] for name in net.parameters}


def assert_gradients(net, X, y, loss, slack=1.0):
    expected, gradients = gradients_of_twin(net, X, y, loss)
    actual, found = net.loss_and_gradients(X, y, loss=loss)
    assert_close(actual, expected, net.dtype, slack)
    assert list(found) == list(net.parameters)
    for name, gradient in found.items():
        assert gradient.dtype == net.dtype
        assert_close(gradient, gradients[name], net.dtype, slack)


# In the parameters


@every_dtype
@every_loss
@pytest.mark.parametrize("code", WITH_WEIGHTS)
def test_gradients_are_those_of_the_twin(code, loss, dtype):
    net = build(code, 1, dtype)
    assert_gradients(net, *data(net, 23, loss), loss)


@every_dtype
@every_loss
@pytest.mark.parametrize("rows", [1, 2, 61, 63, 64, 65, 127, 1000])
def test_gradients_of_any_number_of_rows_are_those_of_the_twin(rows, loss, dtype):
    net = build("LtLsL", 4, dtype, outputs=17)
    assert_gradients(net, *data(net, rows, loss), loss)


@every_dtype
@pytest.mark.parametrize("rows", [131, 300])
def test_gradients_of_wide_layers_are_those_of_the_twin(rows, dtype):
    net = fb.mlp([300, 263, 270, 5], activation="tanh", dtype=dtype)
    assert_gradients(net, *data(net, rows), "cross_entropy", slack=10)


@every_loss
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("code", WITH_WEIGHTS)
def test_gradients_match_central_differences(code, seed, loss):
    net = build(code, seed)
    X, y = data(net, 7, loss)
    _, gradients = net.loss_and_gradients(X, y, loss=loss)
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    rng = np.random.default_rng(5)
    for name, gradient in gradients.items():
        at = np.array(net.parameters[name])
        direction = rng.standard_normal(at.shape) / np.sqrt(at.size)
        sides = []
        for sign in (1, -1):
            net.parameters[name] = at + sign * H * direction
            sides.append(net.evaluate(X, y, loss=loss))
        net.parameters[name] = at
        slope = (sides[0] - sides[1]) / (2 * H)
        assert abs(slope - np.sum(gradient * direction)) < DIFFERENCES * max(1.0, largest), name


@every_dtype
def test_dropout_does_nothing_outside_training(dtype):
    dropping = build("dLrdLd", 3, dtype, p=0.5)
    plain = fb.Network(
        [fb.Identity() if isinstance(a, fb.Dropout) else a for a in dropping.layers], dropping.inputs, dtype=dtype
    )
    plain.flat = dropping.flat
    X, y = data(plain, 65)
    loss, gradients = dropping.loss_and_gradients(X, y)
    expected, of_plain = plain.loss_and_gradients(X, y)
    assert loss == expected == dropping.evaluate(X, y)
    for name in of_plain:
        assert np.array_equal(gradients[name], of_plain[name])
    u = plain.predict(X)
    assert np.array_equal(dropping.predict(X), u)
    assert np.array_equal(dropping.vjp(X, u), plain.vjp(X, u))
    assert np.array_equal(dropping.jvp(X, X), plain.jvp(X, X))


@every_dtype
def test_gradients_belong_to_the_caller(dtype):
    net = build("LtL", 0, dtype)
    X, y = data(net, 9)
    _, first = net.loss_and_gradients(X, y)
    kept = {name: gradient.copy() for name, gradient in first.items()}
    net.loss_and_gradients(2 * X, y)
    for name in first:
        assert np.array_equal(first[name], kept[name])
        assert first[name].flags.writeable


@every_dtype
def test_gradients_of_fewer_rows_after_more_are_of_those_rows_alone(dtype):
    net = build("LsL", 1, dtype)
    X, y = data(net, 90)
    net.loss_and_gradients(X, y)
    assert_gradients(net, X[:3], y[:3], "cross_entropy")
    assert_gradients(net, X, y, "cross_entropy")


@every_dtype
def test_gradients_have_the_same_bits_for_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(team, "default_threads", lambda threads=threads: threads)
        net = fb.mlp([13, 300, 33, 5], activation="tanh", dtype=dtype)
        X, y = data(net, 331)
        loss, gradients = net.loss_and_gradients(X, y)
        products = net.vjp(X, net.predict(X)), net.jvp(X, X)
        found.append((loss, *(a.tobytes() for a in (*gradients.values(), *products))))
    assert found[0] == found[1] == found[2]


def test_a_network_without_weights_has_a_loss_and_no_gradients():
    code = (
        "import fastbp as fb\n"
        "net = fb.Network([fb.Identity()], inputs=2)\n"
        "print(*net.loss_and_gradients([[1.0, 2.0]], [[0.0, 0.0]], loss='mse'))"
    )
    # in a process of its own, which can be ended should it never answer
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["2.5", "{}"]


# In the inputs


@every_dtype
@every_code
def test_vjp_and_jvp_are_those_of_the_twin(code, dtype):
    net = build(code, 2, dtype)
    slow = twin(net) if "L" in code else None
    X, _ = data(net, 67)
    v = data(net, 67, seed=2)[0]
    u = data(net, 67, "mse", seed=3)[1]
    before = [a.copy() for a in (X, u, v)]
    if slow is not None:
        assert_close(net.vjp(X, u), slow.vjp(X, u)[0], dtype)
        assert_close(net.jvp(X, v), slow.jvp(X, v), dtype)
    for a, b in zip((X, u, v), before, strict=True):
        assert np.array_equal(a, b)


@every_dtype
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 1000])
def test_vjp_and_jvp_of_any_number_of_rows_are_those_of_the_twin(rows, dtype):
    net = fb.mlp([13, 33, 17, 9], activation="sigmoid", dtype=dtype)
    X, u = data(net, rows, "mse")
    v, _ = data(net, rows, seed=2)
    assert_close(net.vjp(X, u), twin(net).vjp(X, u)[0], dtype)
    assert_close(net.jvp(X, v), twin(net).jvp(X, v), dtype)


@every_code
def test_vjp_and_jvp_are_adjoint(code):
    net = build(code, 5)
    X, u = data(net, 65, "mse")
    v, _ = data(net, 65, seed=2)
    left = (u * net.jvp(X, v)).sum(axis=1)
    right = (net.vjp(X, u) * v).sum(axis=1)
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@every_code
def test_jvp_matches_central_differences(code):
    net = build(code, 6)
    X, _ = data(net, 31)
    v, _ = data(net, 31, seed=2)
    differences = (net.predict(X + H * v) - net.predict(X - H * v)) / (2 * H)
    np.testing.assert_allclose(net.jvp(X, v), differences, rtol=1e-6, atol=1e-8)


@every_dtype
@pytest.mark.parametrize("sizes", [[3, 17, 5], [9, 8, 2]], ids=["few-inputs", "few-outputs"])
def test_both_ways_to_the_jacobian_end_at_the_same(sizes, dtype):
    net = fb.mlp(sizes, activation="tanh", dtype=dtype)
    X, _ = data(net, 33)
    slow = twin(net)
    basis = np.eye(net.outputs, dtype=dtype)
    expected = np.stack([slow.vjp(X, np.tile(row, (len(X), 1)))[0] for row in basis], axis=1)
    for mode in ("forward", "reverse", "auto"):
        jacobian = net.jacobian(X, mode=mode)
        assert jacobian.shape == (33, net.outputs, net.inputs)
        assert_close(jacobian, expected, dtype)
    fewer = "forward" if net.inputs < net.outputs else "reverse"
    assert np.array_equal(net.jacobian(X), net.jacobian(X, mode=fewer))


@every_dtype
def test_the_jacobian_of_a_vector_is_a_matrix(dtype):
    net = build("LtL", 1, dtype)
    X, u = data(net, 1, "mse")
    jacobian = net.jacobian(X[0])
    assert jacobian.shape == (net.outputs, net.inputs)
    assert np.array_equal(jacobian, net.jacobian(X)[0])
    assert_close(net.vjp(X[0], u[0]), u[0] @ jacobian, dtype)
    assert net.vjp(X[0], u[0]).shape == (net.inputs,)
    assert_close(net.jvp(X[0], X[0]), jacobian @ X[0], dtype)
    assert net.jvp(X[0], X[0]).shape == (net.outputs,)


def test_the_jacobian_of_one_linear_layer_is_its_weight():
    net = fb.Network([fb.Linear(3)], inputs=5, dtype="float64")
    X, _ = data(net, 4)
    for mode in ("forward", "reverse"):
        assert np.array_equal(net.jacobian(X, mode=mode), np.broadcast_to(net.parameters["0.weight"].T, (4, 3, 5)))


# Weights that changed in between


def trained(net):
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.05), batch_size=8)
    trainer.run(*data(net, 20, "mse"), steps=5)


def stepped(net):
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.05), batch_size=8)
    for _ in range(3):  # the first one may take another way than those that follow
        trainer.step(*data(net, 8, "mse"))


def assigned(net):
    net.parameters["0.weight"] = -0.5 * net.parameters["0.weight"]
    net.parameters["2.weight"] = net.parameters["2.weight"] + 1


def set_flat(net):
    net.flat = -0.5 * net.flat


def restored(net):
    trainer = fb.Trainer(net, loss="mse")
    stepped(net)
    kept = trainer.snapshot()
    stepped(net)
    net.vjp(*data(net, 9, "mse"))
    net.loss_and_gradients(*data(net, 9, "mse"), loss="mse")
    trainer.restore(kept)


@every_dtype
@pytest.mark.parametrize("change", [trained, stepped, assigned, set_flat, restored])
def test_every_derivative_uses_the_new_weights_after(change, dtype):
    net = fb.mlp([5, 17, 9, 3], activation="tanh", dtype=dtype)
    X, u = data(net, 33, "mse")

    def everything():
        loss, gradients = net.loss_and_gradients(X, u, loss="mse")
        return net.predict(X), net.vjp(X, u), net.jvp(X, X), loss, *gradients.values()

    before, weights = everything(), net.flat
    change(net)
    assert not np.array_equal(net.flat, weights)
    slow = twin(net, "mse")
    loss, gradients = slow.loss_and_gradients(X, u)
    expected = slow.forward(X), slow.vjp(X, u)[0], slow.jvp(X, X), loss, *gradients.values()
    for now, then in zip(everything(), expected, strict=True):
        assert_close(now, then, dtype)
    net.flat = weights
    for now, then in zip(everything(), before, strict=True):
        assert np.array_equal(now, then)


def test_two_trainers_of_one_network_see_what_the_other_has_done():
    net = fb.mlp([5, 17, 3], activation="tanh", dtype="float64")
    slow = twin(net, "mse")
    X, y = data(net, 8, "mse")
    trainers = [fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.1), batch_size=8) for _ in range(2)]
    for i in range(12):
        trainers[i % 2].step(X, y)
        slow.step(X, y, lambda *now: reference.sgd(*now, lr=0.1))
    assert_close(net.flat, slow.theta, "float64")
