"""Updates that would leave the finite numbers: none is begun, and everything is as it was before that step."""

from dataclasses import replace

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine.compiler import kernel_address
from fastbp.errors import DivergedError
from fastbp.lowering import plans
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.train import stepping
from fastbp.train.checkpoints import state_of
from tests.model.chains import DTYPES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5))
Y = RNG.integers(0, 3, 64)
FACTOR = {"float32": 1e42, "float64": 1e300}  # what makes a rate infinite
SQUARE = {"float32": 1e25, "float64": 1e160}  # has no square

every_dtype = pytest.mark.parametrize("dtype", DTYPES)

# Every kernel, with a decay that multiplies parameters by -1e6 in each step.
DECAY = {"lr": 1.0, "weight_decay": 1e6, "decoupled": True}
OPTIMIZERS = {
    "sgd": fb.SGD(**DECAY),
    "momentum": fb.SGD(momentum=0.9, **DECAY),
    "nesterov": fb.SGD(momentum=0.9, nesterov=True, **DECAY),
    "adagrad": fb.Adagrad(**DECAY),
    "rmsprop": fb.RMSprop(**DECAY),
    "rmsprop_momentum": fb.RMSprop(momentum=0.9, **DECAY),
    "rmsprop_centered": fb.RMSprop(centered=True, **DECAY),
    "rmsprop_centered_momentum": fb.RMSprop(centered=True, momentum=0.9, **DECAY),
    "adam": fb.Adam(**DECAY),
    "adam_amsgrad": fb.Adam(amsgrad=True, **DECAY),
    "adamw": fb.AdamW(1.0, weight_decay=1e6),
    "nadam": fb.NAdam(**DECAY),
    "radam": fb.RAdam(**DECAY),
    "adadelta": fb.Adadelta(**DECAY),
    "lion": fb.Lion(1.0, weight_decay=1e6),
    "muon": fb.Muon(1.0, muon_lr=1.0, weight_decay=1e6),
}
WORDS = {
    "plain": {},
    "average": {"ema": 0.9},
    "norm": {"clip_norm": 1.0},
    "all": {"ema": 0.5, "clip_norm": 0.1, "accumulate": 3, "clip_value": 1.0},
}


@pytest.fixture(autouse=True)
def no_call_is_too_small(monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    monkeypatch.setattr(stepping, "ONE_CALL_WORK", 0)


def training(dtype, optimizer, threads=1, batch=16, **words):
    net = fb.mlp([5, 16, 3], activation="tanh", dtype=dtype)
    return fb.Trainer(net, optimizer=optimizer, batch_size=batch, threads=threads, **words)


def state(trainer):
    """The bytes of everything that the next step depends on."""
    arrays, numbers = state_of(trainer)
    place = numbers["place"] or dict.fromkeys(("epoch", "cursor", "pass_rows", "pass_loss", "pass_weight"), 0)
    return {name: array.tobytes() for name, array in arrays.items()}, {**numbers, "place": place}


def is_finite(trainer):
    return all(np.isfinite(array).all() for array in state_of(trainer)[0].values())


def diverge(call):
    with pytest.raises(DivergedError) as info:
        call()
    return info.value


def run_one(trainer):
    trainer.run(X, Y, steps=1)


def unguarded(make, monkeypatch, step=run_one):
    """The first step after which a trainer that looks at nothing is not finite, and its state before that."""
    set_up = BatchPlan._set_up_update

    def without(self, update):
        set_up(self, update)
        self.head.update.bound = 0
        self.head.update.attempt = kernel_address("keep_gradients_factors", self.real)  # does nothing

    with monkeypatch.context() as changed:
        changed.setattr(BatchPlan, "_set_up_update", without)
        trainer = make()
        for number in range(3000):
            before = state(trainer)
            try:
                step(trainer)
            except DivergedError:
                return number, before
            if not is_finite(trainer):
                return number, before
    raise AssertionError("it stays finite")


def goes_on(trainer):
    """A few steps at a rate that is small."""
    calm = {name: 0.0 for name in ("weight_decay",) if hasattr(trainer.optimizer, name)}
    trainer.optimizer = replace(trainer.optimizer, lr=1e-3, **calm)
    before = trainer.net.flat
    trainer.run(X, Y, steps=3)
    assert is_finite(trainer)
    assert not np.array_equal(trainer.net.flat, before)


# The step at which it happens


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@every_dtype
def test_the_first_update_that_would_overflow_is_not_begun(dtype, words, name, monkeypatch):
    expected, before = unguarded(lambda: training(dtype, OPTIMIZERS[name], **words), monkeypatch)
    for threads in (1, 2):
        trainer = training(dtype, OPTIMIZERS[name], threads, **words)
        error = diverge(lambda trainer=trainer: trainer.run(X, Y, steps=3000))
        assert (error.step, error.layer) == (expected, "0")
        assert str(error) == (
            f"parameters must stay finite, got an update of `0.weight` at step `{expected}` that overflows;"
            " the parameters are those before that step"
        )
        assert state(trainer) == before
        assert str(diverge(lambda trainer=trainer: run_one(trainer))) == str(error)
        assert state(trainer) == before
    goes_on(trainer)


CAUSES = {
    "a decay of 100": (fb.SGD(1.0, weight_decay=100.0), {}),
    "a decay of 30": (fb.SGD(0.1, weight_decay=30.0), {}),
    "a penalty": (fb.SGD(0.1), {"penalty": "100*w*w"}),
    "a penalty on gradients that wait": (fb.SGD(0.1), {"penalty": "1000*w*w", "accumulate": 2}),
    "a penalty in Adam": (fb.Adam(0.1), {"penalty": "exp(w*w*1e5)"}),
    "a factor": (fb.SGD(1e20), {"lr_factors": {"0": None}}),
    "a factor under a norm": (fb.SGD(1e20), {"lr_factors": {"0": None}, "clip_norm": 1.0, "ema": 0.5}),
    "Adam's rate": (fb.Adam(1.0), {}),
    "RAdam's rate": (fb.RAdam(1.0), {}),
}


def cause(name, dtype):
    optimizer, words = CAUSES[name]
    if name.endswith("'s rate"):
        optimizer = replace(optimizer, lr=float(np.finfo(dtype).max) * 0.9)
    if "lr_factors" in words:
        words = {**words, "lr_factors": {"0": FACTOR[dtype]}}
    return optimizer, words


@pytest.mark.parametrize("name", CAUSES)
@every_dtype
def test_whatever_the_cause_is_the_step_before_stays(dtype, name, monkeypatch):
    optimizer, words = cause(name, dtype)
    expected, before = unguarded(lambda: training(dtype, optimizer, batch=64, **words), monkeypatch)
    for threads in (1, 2):
        trainer = training(dtype, optimizer, threads, batch=64, **words)
        error = diverge(lambda trainer=trainer: trainer.run(X, Y, steps=3000))
        assert error.step == expected
        # In float64 the loss, a float64 too, may be the first to overflow.
        assert dtype == "float64" or str(error).startswith("parameters must stay finite, got an update of `0.weight`")
        assert state(trainer) == before


def squared(dtype, optimizer, **words):
    """A regression whose gradients have no square."""
    net = fb.Network([fb.Linear(1)], inputs=1, dtype=dtype)
    return fb.Trainer(net, loss="mse", optimizer=optimizer, **words)


@pytest.mark.parametrize(
    "optimizer",
    [fb.Adam(), fb.AdamW(), fb.Adam(amsgrad=True), fb.NAdam(), fb.RAdam(), fb.Adagrad(), fb.RMSprop(), fb.Adadelta()],
    ids=str,
)
@pytest.mark.parametrize("words", [{}, {"ema": 0.9}, {"accumulate": 2}], ids=str)
@every_dtype
def test_a_moment_that_would_overflow_is_not_made(dtype, words, optimizer):
    trainer = squared(dtype, optimizer, **words)
    large = np.full((1, 1), SQUARE[dtype] ** 0.4, dtype), np.full((1, 1), SQUARE[dtype] ** 0.6, dtype)
    trainer.run(np.ones((1, 1)), np.zeros((1, 1)), steps=2)
    before = state(trainer)
    error = diverge(lambda: trainer.run(*large, steps=1))
    assert (error.step, error.layer) == (2, "0")
    assert "got an update of `0.weight` at step `2`" in str(error)
    assert state(trainer) == before
    trainer.run(np.ones((1, 1)), np.zeros((1, 1)), steps=2)
    assert is_finite(trainer)


@every_dtype
@pytest.mark.parametrize("words", [{}, {"clip_norm": 1.0}, {"ema": 0.9}], ids=str)
@pytest.mark.parametrize("small", [False, True])
def test_step_and_fit_stop_where_run_does(small, words, dtype, monkeypatch):
    if small:
        monkeypatch.setattr(stepping, "ONE_CALL_WORK", 10**9)
    x = X.astype(dtype)

    def make():
        return training(dtype, fb.AdamW(1.0, weight_decay=1e6), batch=64, **words)

    expected, _ = unguarded(make, monkeypatch)
    fitted = make()
    assert diverge(lambda: fitted.fit(X, Y, epochs=3000)).step == expected
    expected, before = unguarded(make, monkeypatch, lambda trainer: trainer.step(x, Y))
    stepped = make()
    error = diverge(lambda: [stepped.step(x, Y) for _ in range(3000)])
    assert error.step == stepped.steps_done == expected
    assert state(stepped) == before
    assert diverge(lambda: stepped.step(x, Y)).step == expected
    assert state(stepped) == before
    goes_on(stepped)


# What has been learned beside parameters


def normed(dtype, **words):
    net = fb.Network([fb.Linear(8), fb.BatchNorm(), fb.PReLU(), fb.Linear(3)], inputs=5, dtype=dtype)
    return fb.Trainer(net, batch_size=16, seed=4, **words)


@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_later_batch_that_diverges_takes_back_what_earlier_ones_taught(batch, threads, dtype):
    trainer = normed(dtype, accumulate=4, threads=threads)
    trainer.run(X, Y, steps=1)
    far = X.copy()
    far[reference.permutation(64, trainer.seed, 1)[16 * batch]] *= 1e20 if dtype == "float32" else 1e160
    before = state(trainer)
    error = diverge(lambda: trainer.run(far, Y, steps=1))
    assert (error.step, error.layer) == (1, "1")
    assert state(trainer) == before
    trainer.run(X, Y, steps=1)
    again = normed(dtype, accumulate=4, threads=threads)
    again.run(X, Y, steps=2)
    assert state(trainer) == state(again)


@every_dtype
@pytest.mark.parametrize("words", [{}, {"clip_norm": 1.0}, {"accumulate": 3}], ids=str)
def test_an_update_that_is_not_begun_has_taught_running_statistics_nothing(words, dtype):
    trainer = normed(dtype, optimizer=fb.SGD(1e20), lr_factors={"3": FACTOR[dtype], "0": 0, "1": 0, "2": 0}, **words)
    before = state(trainer)
    error = diverge(lambda: trainer.run(X, Y, steps=5))
    assert (error.step, error.layer) == (0, "3")
    assert state(trainer) == before


def large_rows(dtype, of):
    """Rows of one column, and the rows of a batch, with which only what is learned of them overflows."""
    top = float(np.finfo(dtype).max)
    if of == "mean":  # n is 0 where a row is alone, and top - -top is too large
        return np.array([[top], [-top]] * 2, dtype), 1
    return np.array([[0.95 * top**0.5], [-0.95 * top**0.5]] * 2, dtype), 2


@every_dtype
@pytest.mark.parametrize("words", [{}, {"clip_norm": 1.0}, {"accumulate": 2}], ids=str)
@pytest.mark.parametrize("of", ["mean", "variance"])
@pytest.mark.parametrize("threads", [1, 2])
def test_running_statistics_that_would_overflow_are_not_learned(threads, of, words, dtype):
    rows, batch = large_rows(dtype, of)
    net = fb.Network([fb.BatchNorm(momentum=1.0), fb.Linear(2)], inputs=1, dtype=dtype)
    trainer = fb.Trainer(net, batch_size=batch, threads=threads, **words)
    y = np.arange(4) % 2
    error = None
    while error is None:
        before = state(trainer)
        try:
            trainer.run(rows, y, steps=1)
        except DivergedError as found:
            error = found
    assert error.step == trainer.steps_done < 3
    assert error.layer == "0"
    assert str(error).startswith("loss, gradients and running statistics must be finite, got `")
    assert state(trainer) == before
    assert is_finite(trainer)
    trainer.run(np.zeros_like(rows), y, steps=2)
    assert is_finite(trainer)


@every_dtype
def test_large_running_statistics_that_stay_finite_are_learned(dtype):
    rows, batch = large_rows(dtype, "variance")
    net = fb.Network([fb.BatchNorm(momentum=0.5), fb.Linear(2)], inputs=1, dtype=dtype)
    fb.Trainer(net, batch_size=batch, threads=1).run(rows / 2, [0, 1, 0, 1], steps=1)
    unbiased = 2 * float(rows[0, 0] / 2) ** 2
    np.testing.assert_allclose(net.states["0.running_var"], 0.5 * unbiased, rtol=1e-6)


@every_dtype
def test_gradients_alone_teach_running_statistics_nothing_and_fear_nothing_of_them(dtype):
    rows, _ = large_rows(dtype, "variance")
    net = fb.Network([fb.BatchNorm(), fb.Linear(2)], inputs=1, dtype=dtype)
    before = net.states.flat()
    _, gradients = net.loss_and_gradients(rows, [0, 1, 0, 1], training=True)
    assert all(np.isfinite(g).all() for g in gradients.values())
    assert np.array_equal(net.states.flat(), before)


@every_dtype
@pytest.mark.parametrize("way", ["run", "step"])
def test_an_average_that_was_written_is_known_to_bounds(way, dtype):
    """mean - p overflows, although nothing else is near the largest number."""
    top = np.finfo(dtype).max
    net = fb.mlp([5, 3], dtype=dtype)
    trainer = fb.Trainer(net, optimizer=fb.SGD(1e-30), ema=0.9, batch_size=64, threads=1)
    train = {"run": lambda: trainer.run(X, Y, steps=1), "step": lambda: trainer.step(X.astype(dtype), Y)}[way]
    net.parameters["0.bias"] = np.full(3, -1e36 if dtype == "float32" else -1e299)
    for _ in range(3):
        train()
    trainer.averaged.flat = np.full(net.flat.size, top)
    before = state(trainer)
    error = diverge(train)
    assert "an update of `0.bias` at step `3` that overflows" in str(error)
    assert state(trainer) == before
    trainer.averaged.parameters.update({"0.weight": np.zeros((5, 3)), "0.bias": np.zeros(3)})
    train()
    assert is_finite(trainer)
    for bad in (np.nan, np.inf):
        with pytest.raises(fb.DataError, match="must be finite"):
            trainer.averaged.flat = np.full(net.flat.size, bad)


@every_dtype
def test_looking_at_an_average_renews_no_bounds(dtype):
    trainer = training(dtype, fb.Adam(), ema=0.9)
    for _ in range(5):
        trainer.run(X, Y, steps=2)
        trainer.averaged.predict(X)
    assert trainer._batch_plan.head.update.renewed == 1


def embedded(dtype, **words):
    net = fb.Network([fb.Embedding({0: (70, 3)}), fb.Linear(3)], inputs=5, dtype=dtype)
    return fb.Trainer(net, batch_size=16, optimizer=fb.SGD(0.1, weight_decay=100.0), **words)


@every_dtype
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_rows_of_a_table_are_tried_too(words, dtype, monkeypatch):
    rows = X.copy()
    rows[:, 0] = np.arange(64) // 16

    def run(trainer):
        trainer.run(rows, Y, steps=1)

    def make(threads=1):
        return embedded(dtype, decay_factors={"1": 0.0}, threads=threads, **words)

    expected, before = unguarded(make, monkeypatch, run)
    for threads in (1, 2):
        trainer = make(threads)
        error = diverge(lambda trainer=trainer: trainer.run(rows, Y, steps=3000))
        assert error.step == expected
        assert state(trainer) == before


@every_dtype
def test_what_is_frozen_is_in_nobodys_way(dtype):
    net = fb.mlp([5, 16, 3], activation="tanh", dtype=dtype)
    net.parameters["0.weight"] = np.full((5, 16), np.finfo(dtype).max / 8)
    trainer = fb.Trainer(net, optimizer=fb.SGD(0.1), frozen=["0"])
    trainer.run(X, Y, steps=20)
    assert is_finite(trainer)


@every_dtype
def test_numbers_near_the_largest_are_updated_as_long_as_they_stay_finite(dtype):
    """p = 2**k, doubled by each step: the last power of two is reached, the next is not begun."""
    net = fb.Network([fb.Linear(1)], inputs=1, dtype=dtype)
    top = 2.0 ** (np.finfo(dtype).maxexp - 1)
    net.parameters.update({"0.weight": [[0.0]], "0.bias": [top / 4]})
    words = {"decay_all": True, "decoupled": True, "weight_decay": 3.0}
    trainer = fb.Trainer(net, loss="mae", optimizer=fb.SGD(1.0, **words))
    run = lambda: trainer.run(np.zeros((1, 1)), np.zeros((1, 1)), steps=1)  # noqa: E731
    run()
    assert net.parameters["0.bias"] == -top / 2
    run()
    assert net.parameters["0.bias"] == top
    assert "an update of `0.bias` at step `2`" in str(diverge(run))
    assert net.parameters["0.bias"] == top


@pytest.mark.parametrize("kind", [fb.Adam, fb.RMSprop, fb.Adagrad, fb.NAdam, fb.RAdam, fb.Adadelta])
def test_an_eps_that_is_as_good_as_0_is_refused_before_anything_is_trained(kind):
    with pytest.raises(fb.errors.ConfigError, match=rf"`{kind.__name__}.eps` must be at least `1.17549e-38`"):
        fb.Trainer(fb.mlp([5, 8, 3]), optimizer=kind(eps=1e-38))
    fb.Trainer(fb.mlp([5, 8, 3], dtype="float64"), optimizer=kind(eps=1e-38))
