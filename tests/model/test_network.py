"""What a network is made of and what it predicts, against the NumPy twin."""

import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine import threads as team
from fastbp.lowering import batch_plan, plans
from tests.model.chains import CODES, DTYPES, assert_close, build, data, twin

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_code = pytest.mark.parametrize("code", CODES)
ROWS = [1, 2, 3, 61, 63, 64, 65, 127, 1000]


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


# Making one


@every_dtype
@pytest.mark.parametrize("seed", [0, 7, 2**32 + 3, 2**63 - 1])
def test_initial_parameters_are_those_of_the_twin(seed, dtype):
    net = fb.Network(
        [fb.Tanh(), fb.Linear(33), fb.Dropout(0.5), fb.Linear(17, bias=False), fb.Linear(1)],
        inputs=5,
        seed=seed,
        dtype=dtype,
    )
    assert list(net.parameters) == ["1.weight", "1.bias", "3.weight", "4.weight", "4.bias"]
    for node, inputs, outputs in ((1, 5, 33), (3, 33, 17), (4, 17, 1)):
        _, weight, bias = reference.linear_init(inputs, outputs, node, seed, dtype)
        same_bits(net.parameters[f"{node}.weight"], weight)
        if node != 3:
            same_bits(net.parameters[f"{node}.bias"], bias)


@every_dtype
@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_a_seed_may_have_64_bits(seed, dtype):
    net = fb.mlp([2, 3, 1], seed=seed, dtype=dtype, dropout=0.5)
    same_bits(net.parameters["0.weight"], reference.linear_init(2, 3, 0, seed, dtype)[1])
    X, y = data(net, 8, "mse")
    slow = twin(net, "mse")
    rule = lambda *now: reference.sgd(*now, lr=0.1)  # noqa: E731
    loss = fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.1), batch_size=8).step(X, y)
    assert_close(loss, slow.step(X, y, rule, seed), dtype)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
def test_mlp_puts_an_activation_and_dropout_between_each_two_layers(activation):
    net = fb.mlp([4, 3, 2, 1], activation=activation, seed=5, dtype="float64", dropout=0.25)
    layer = {"relu": fb.ReLU, "tanh": fb.Tanh, "sigmoid": fb.Sigmoid, "identity": fb.Identity}[activation]
    drop = fb.Dropout(0.25)
    assert net.layers == [fb.Linear(3), layer(), drop, fb.Linear(2), layer(), drop, fb.Linear(1)]
    assert (net.inputs, net.outputs, net.seed, net.dtype) == (4, 1, 5, np.float64)
    same_bits(net.flat, fb.Network(net.layers, inputs=4, seed=5, dtype="float64").flat)


# Predicting


@every_dtype
@every_code
@pytest.mark.parametrize("seed", [0, 1])
def test_predict_is_the_forward_pass_of_the_twin(code, seed, dtype):
    net = build(code, seed, dtype)
    X, _ = data(net, 61)
    assert_close(net.predict(X), twin(net).forward(X), dtype)


@every_dtype
@pytest.mark.parametrize("rows", ROWS)
def test_predict_takes_any_number_of_rows(rows, dtype):
    net = fb.mlp([13, 33, 17, 3], activation="tanh", dtype=dtype)
    X, _ = data(net, rows)
    y = net.predict(X)
    assert y.shape == (rows, 3)
    assert_close(y, twin(net).forward(X), dtype)


@every_dtype
def test_predict_of_wide_layers_is_that_of_the_twin(dtype):
    net = fb.mlp([300, 521, 300], dtype=dtype)
    X, _ = data(net, 130)
    assert_close(net.predict(X), twin(net).forward(X), dtype, slack=10)


@every_dtype
def test_a_row_has_the_same_bits_alone_and_among_others(dtype):
    net = fb.mlp([13, 300, 17, 3], dtype=dtype)
    X, _ = data(net, 131)
    together = net.predict(X)
    for i in (0, 1, 63, 64, 130):
        same_bits(net.predict(X[i : i + 1]), together[i : i + 1])


def in_time(code):
    """What a process prints that is ended should it never answer."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_rows_are_answered_with_no_rows():
    code = (
        "import numpy as np, fastbp as fb\n"
        "net = fb.mlp([2, 5, 3])\n"
        "x, y = np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32)\n"
        "for a in net.predict(x), net.predict(x, threads=2), net.vjp(x, y), net.jvp(x, x), net.jacobian(x):\n"
        "    print('x'.join(map(str, a.shape)))"
    )
    assert in_time(code) == ["0x3", "0x3", "0x2", "0x3", "0x3x2"]


@every_dtype
def test_predict_writes_into_out_and_returns_it(dtype):
    net = build("LtL", 3, dtype)
    X, _ = data(net, 65)
    expected = net.predict(X)
    before = X.copy()
    out = np.full((65, net.outputs), np.nan, dtype)
    assert net.predict(X, out=out) is out
    same_bits(out, expected)
    same_bits(X, before)


@every_dtype
def test_predict_may_write_over_its_input(dtype):
    net = fb.mlp([9, 17, 9], dtype=dtype)
    X, _ = data(net, 200)
    expected = net.predict(X)
    assert net.predict(X, out=X) is X
    same_bits(X, expected)


@every_dtype
def test_a_vector_is_one_row_and_gives_a_vector(dtype):
    net = build("LrL", 1, dtype)
    X, _ = data(net, 1)
    y = net.predict(X[0])
    assert y.shape == (net.outputs,)
    same_bits(y, net.predict(X)[0])
    out = np.empty(net.outputs, dtype)
    assert net.predict(X[0], out=out) is out
    same_bits(out, y)
    same_bits(net.predict(X[0].tolist()), y)


def test_anything_numpy_can_read_is_predicted_alike():
    net = fb.mlp([5, 9, 2])
    X, _ = data(net, 70)
    expected = net.predict(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    raw = np.zeros(X.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(np.float32).reshape(X.shape)
    unaligned[...] = X
    wide = np.zeros((140, 10), np.float32)
    wide[::2, ::2] = X
    forms = {
        "fortran": np.asfortranarray(X),
        "list": X.tolist(),
        "float64": X.astype(np.float64),
        "big endian": X.astype(">f4"),
        "read-only": read_only,
        "unaligned": unaligned,
        "strided": wide[::2, ::2],
    }
    for threads in (1, 2):
        for name, form in forms.items():
            assert np.array_equal(net.predict(form, threads=threads), expected), name
            out = np.empty_like(expected)
            assert np.array_equal(net.predict(form, out=out, threads=threads), expected), name


@every_dtype
@pytest.mark.parametrize("rows", [65, 127, 1000])
def test_predictions_have_the_same_bits_for_any_number_of_threads(rows, dtype, monkeypatch):
    monkeypatch.setattr(team, "default_threads", lambda: 3)
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    used = []
    monkeypatch.setattr(team, "run", lambda *a, run=team.run: (used.append(a[2]), run(*a)))
    net = fb.mlp([13, 33, 300, 3], activation="sigmoid", dtype=dtype)
    X, _ = data(net, rows)
    alone = net.predict(X, threads=1)
    assert not used
    for threads in (2, 3):
        same_bits(net.predict(X, threads=threads), alone)
    assert used == [2, min(3, -(-rows // 64))]
    same_bits(net.vjp(X, alone), fb.mlp([13, 33, 300, 3], "sigmoid", dtype=dtype).vjp(X, alone))


def test_nan_travels_to_the_rows_it_is_in_and_to_no_other():
    net = fb.mlp([5, 9, 2])
    X, _ = data(net, 70)
    expected = net.predict(X)
    X[3, 2] = np.nan
    y = net.predict(X)
    assert np.isnan(y[3]).all()
    same_bits(np.delete(y, 3, axis=0), np.delete(expected, 3, axis=0))


def test_threads_of_python_may_share_a_network():
    from concurrent.futures import ThreadPoolExecutor

    net = fb.mlp([5, 64, 64, 2])
    parts = [data(net, 64 + i, seed=i)[0] for i in range(40)]
    expected = [net.predict(X) for X in parts]
    with ThreadPoolExecutor(4) as pool:
        for y, alone in zip(pool.map(net.predict, parts), expected, strict=True):
            same_bits(y, alone)


# Evaluating


@every_dtype
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("rows", [1, 511, 513, 1025])
def test_evaluate_is_the_loss_of_the_twin(rows, loss, dtype):
    net = build("LrdLtL", 2, dtype, outputs=5)
    X, y = data(net, rows, loss)
    expected = reference.LOSSES[loss](twin(net).forward(X), y)[0]
    assert_close(net.evaluate(X, y, loss=loss), expected, dtype)


def test_evaluate_keeps_inside_its_tables_however_many_rows_there_are(monkeypatch):
    from fastbp.model import network

    monkeypatch.setattr(network, "EVALUATION_ROWS", 1)  # so that few rows make many batches
    net = fb.mlp([1, 1])
    X, y = data(net, batch_plan.BatchPlan.CALL + 100, "mse")
    assert_close(net.evaluate(X, y, loss="mse"), reference.mse(twin(net).forward(X), y)[0], "float32")
    assert net._plans["evaluate", fb.MSE(), ()].head.step.rate_at <= batch_plan.BatchPlan.CALL


@pytest.mark.parametrize("how", ["evaluate", "loss_and_gradients", "hessian_vector"])
def test_targets_of_another_loss_than_the_default_are_refused_with_what_it_was_trained_with(how):
    net = fb.mlp([4, 2])
    X, y, more = np.zeros((3, 4)), np.full((3, 2), 2.0), [net.flat] if how == "hessian_vector" else []
    message = "`y` must be probabilities that add up to 1, got `[2.0, 2.0]` at `[0]`"
    with pytest.raises(fb.DataError) as info:
        getattr(net, how)(X, y, *more)
    assert str(info.value) == message
    fb.Trainer(net, loss="mse")
    with pytest.raises(fb.DataError) as info:
        getattr(net, how)(X, y, *more)
    hint = "`loss` is cross_entropy here, and this network was trained with `loss=MSE(reduction='mean')`"
    assert str(info.value) == f"{message}\nhint: {hint}"
    with pytest.raises(fb.ShapeError) as info:
        getattr(net, how)(X, y[:2], *more, loss="mse")
    assert str(info.value) == "`y` must have shape `(3, 2)`, got `(2, 2)`"
