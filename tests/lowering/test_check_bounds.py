"""`FASTBP_PLAN=check`: how far a number may be off hangs on what it is made of, not on what cancels on the way."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import PlanError
from fastbp.lowering.check.values import POISON, Output, beyond, summing
from tests.lowering.spoiled import Spoiler, largest

pytestmark = pytest.mark.usefixtures("checked")


def refused(match, run):
    with pytest.raises(PlanError, match=match):
        run()


def times(factor):
    def change(output):
        output.memory *= factor

    return change


def given(net, parameters):
    for name, numbers in parameters.items():
        net.parameters[name] = numbers


def of_large_numbers(loss, dtype="float32"):
    """A step whose outputs are 0.3 from targets at 1000."""
    net = fb.Network([fb.Linear(3)], inputs=3, dtype=dtype)
    given(net, {"0.weight": 1000.0 * np.eye(3), "0.bias": np.full(3, 0.25)})
    trainer = fb.Trainer(net, loss=loss, optimizer=fb.SGD(1e-6), batch_size=5)
    X = np.ones((5, 3))
    return lambda: trainer.run(X, np.full((5, 3), 1000.0), steps=1)


@pytest.mark.parametrize("loss", ["mse", "half_mse", "huber", "log_cosh", "quantile", "mae"])
@pytest.mark.parametrize("number", [0, 1], ids=["slopes", "losses"])
def test_what_cancels_in_a_loss_widens_nothing(loss, number, monkeypatch):
    run = of_large_numbers(loss)
    run()
    Spoiler(monkeypatch, loss, number, times(1.001))
    refused(rf"^op \d+ `{loss}` of `train, batch 5`: ", run)


def test_the_slope_of_an_improbable_class_is_compared_with_its_probability(monkeypatch):
    net = fb.Network([fb.Linear(3)], inputs=3)
    given(net, {"0.weight": np.diag([12.0, 0.0, -12.0]), "0.bias": np.zeros(3)})
    trainer = fb.Trainer(net, loss="cross_entropy", optimizer=fb.SGD(1e-6), batch_size=5)

    def run():
        trainer.run(np.ones((5, 3)), np.zeros(5, np.int64), steps=1)

    def change(output):
        output.memory[..., 2] *= 1.0001  # of a class of probability 4e-11

    run()
    Spoiler(monkeypatch, "cross_entropy", 0, change)
    refused(r"^op \d+ `cross_entropy` .* at row 0, column 2, got ", run)


@pytest.mark.parametrize("optimizer", [fb.SGD(), fb.Adam(), fb.AdamW(), fb.RMSprop(1e-3), fb.Lion(1e-3), fb.Adadelta()])
def test_a_step_is_compared_with_its_size(optimizer, monkeypatch):
    net = fb.Network([fb.Linear(3)], inputs=3, dtype="float64")
    given(net, {"0.weight": np.full((3, 3), 1e5), "0.bias": np.zeros(3)})
    trainer = fb.Trainer(net, loss="mse", optimizer=optimizer, batch_size=5)
    X, y = np.random.default_rng(0).normal(size=(2, 5, 3))
    kernel = optimizer.kernel
    trainer.run(X, y, steps=1)

    def change(output):
        output.memory[largest(output)] += 1e5 * 4 * 2.0**-52  # beside it are zeros that pad

    Spoiler(monkeypatch, kernel, 0, change)
    refused(rf"^kernel `{kernel}` of .*: the parameter of `0.weight` must be ", lambda: trainer.run(X, y, steps=1))


@pytest.mark.parametrize("optimizer", [fb.Adam(1e-2), fb.Adam(1e-2, amsgrad=True), fb.AdamW(1e-2), fb.NAdam(1e-2)])
def test_what_powers_near_one_leave_of_one_may_be_off_in_the_first_steps_in_float64(optimizer):
    X, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    net = fb.Network([fb.Linear(8), fb.Tanh(), fb.Linear(3)], inputs=3, seed=0, dtype="float64")
    fb.Trainer(net, loss="mse", optimizer=optimizer, batch_size=3).run(X, y, steps=30)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_finite_in_bins_is_compared(dtype, monkeypatch):
    net = fb.Network([fb.PiecewiseLinear({0: [0.0, 1.0, 5.0]})], inputs=1, dtype=dtype)
    x = np.array([[np.nan], [np.inf], [-np.inf], [0.5]])
    ones = np.ones((4, 3))
    net.predict(x), net.jvp(x, ones[:, :1]), net.vjp(x, ones)

    def change(output):
        output.memory[1, 0, 2] = 1.0  # of a bin that goes on without end

    Spoiler(monkeypatch, "piecewise_linear_forward", 0, change)
    refused(r"^op \d+ `piecewise_linear_forward` .* must be inf at row 1, column 2, got 1$", lambda: net.predict(x))


def test_a_sum_may_be_off_by_the_root_of_its_terms(monkeypatch):
    n = 600
    net = fb.Network([fb.Linear(3)], inputs=n)
    given(net, {"0.weight": np.ones((n, 3)), "0.bias": np.zeros(3)})
    X = np.random.default_rng(0).normal(size=(4, n))
    net.predict(X)
    size = np.abs(X).sum(axis=1).min()

    def change(output):
        output.memory[..., 0] += 0.5 * n * 2.0**-23 * size

    Spoiler(monkeypatch, "product", 0, change)
    refused(r"^op 1 `product` .* at row 0, column 0, got ", lambda: net.predict(X))


@pytest.mark.parametrize("terms", [1, 7, 64, 65, 1600, 10**5])
def test_terms_that_are_alike_are_summed_within_the_bound(terms):
    for x in np.float32(np.linspace(1.0, 2.0, 41)):
        total = float(np.add.accumulate(np.full(terms, x), dtype=np.float32)[-1])
        assert abs(total - terms * float(x)) <= summing(terms) * 2.0**-23 * terms * float(x)
    assert summing(terms) <= max(8.0 * terms**0.5, terms / 5.0)


# What is not a number, and what is not finite.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_poison_is_refused_where_any_nan_would_do(dtype):
    memory = np.zeros((2, 1, 4), dtype)
    must = np.full((2, 4), np.nan)
    output = Output("c", memory, must, np.zeros(must.shape))
    output.poison()
    assert np.isnan(memory).all()
    with np.errstate(invalid="ignore"):
        assert output.difference()[0] == (0, 0)
        memory[:] = np.nan
        assert output.difference() is None
        memory.view(POISON[memory.itemsize].dtype)[1, 0, 2] = POISON[memory.itemsize]
        assert output.difference()[0] == (1, 2)


def test_a_call_that_leaves_its_result_out_is_named_where_nan_is_right(monkeypatch):
    net = fb.Network([fb.Embedding({0: (4, 3)}), fb.Linear(2)], inputs=3)
    X = np.full((3, 3), 9.0, np.float32)  # no such row of the table: NaN
    plan = net.plan("predict")
    plan(X, np.empty((3, 2), np.float32), 1)

    def change(output):
        output.memory.view("u4")[..., 2] = POISON[4]

    Spoiler(monkeypatch, "embedding_forward", 0, change)
    said = r"^op 1 `embedding_forward` of .*: buffer b\d+ must be nan at row 0, column 2, got nan$"
    refused(said, lambda: plan(X, np.empty((3, 2), np.float32), 1))


@pytest.mark.parametrize(
    ("got", "must", "bound", "wrong"),
    [
        (np.inf, 1e39, 1e33, False),
        (-np.inf, 1e39, 1e33, True),
        (np.inf, np.inf, np.inf, False),
        (-np.inf, np.inf, 0.0, True),
        (np.nan, np.inf, 0.0, False),
        (1.0, np.inf, 0.0, True),
        (-np.inf, 1e39, 1e40, False),
        (np.inf, 1.0, 1.0, True),
    ],
)
def test_infinities_have_a_sign(got, must, bound, wrong):
    arrays = (np.array([[number]]) for number in (got, must, bound))
    with np.errstate(invalid="ignore"):
        assert beyond(*arrays, np.float32).item() == wrong
