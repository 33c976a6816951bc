"""Numbers at the ends of what reals hold: the right answer, as long double has it, or one sentence and no step."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest

import fastbp as fb
from tests.model.chains import DTYPES

LONG = np.longdouble
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", ["chain", "graph"])
wide = pytest.mark.skipif(np.finfo(LONG).maxexp <= np.finfo("f8").maxexp, reason="long double is no longer here")
DIGITS = {"float32": 37.5, "float64": 307.5}  # powers of ten below the largest number
RELATIVE = {"float32": 2e-5, "float64": 1e-13}


def network(shape, dtype, outputs=3):
    """A hidden layer, in a graph beside a way around it."""
    x = fb.Input(4)
    out = fb.Linear(outputs)(fb.tanh(fb.Linear(6)(x, name="in")), name="out")
    if shape == "graph":
        out = out + fb.Linear(outputs)(x, name="past")
    return fb.Network(inputs=x, outputs=out, seed=1, dtype=dtype)


def numbers(dtype, rows=8):
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.0, (rows, 4)).astype(dtype), rng.uniform(0.5, 1.0, (rows, 3)).astype(dtype)


@dataclass
class Truth:
    """A step of `mse` in long double: the loss, gradients by name, and all that was computed on the way."""

    loss: LONG
    gradients: dict
    passing: list

    def largest(self):
        return max(np.abs(a).max() for a in [self.loss, *self.gradients.values(), *self.passing])

    def smallest(self):
        """The least of the largest magnitudes on the way back: what it is made of is lost where that is flushed."""
        return min(np.abs(a).max() for a in [*self.gradients.values(), *self.passing])


def exactly(array):
    """In long double, without what is subnormal in its reals."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, 0, array).astype(LONG)


def truth(net, X, t):
    p = {name: exactly(array) for name, array in net.parameters.items()}
    X, t = exactly(X), exactly(t)
    a = X @ p["in.weight"] + p["in.bias"]
    h = np.tanh(a)
    z = h @ p["out.weight"] + p["out.bias"]
    if "past.weight" in p:
        z = z + X @ p["past.weight"] + p["past.bias"]
    e = z - t
    dz = 2 * e / e.size
    dh = dz @ p["out.weight"].T
    da = dh * (1 - h * h)
    found = {"in.weight": X.T @ da, "in.bias": da.sum(0), "out.weight": h.T @ dz, "out.bias": dz.sum(0)}
    if "past.weight" in p:
        found |= {"past.weight": X.T @ dz, "past.bias": dz.sum(0)}
    return Truth((e * e).mean(), found, [a, z, e * e, dz, dh, da])


def assert_near(actual, expected, dtype, what, times=1.0):
    """Within roundings of the largest number of an array."""
    expected = np.asarray(expected, LONG)
    allowed = times * RELATIVE[dtype] * np.abs(expected).max() + 100 * LONG(np.finfo(dtype).tiny)
    assert (np.abs(np.asarray(actual).astype(LONG) - expected) <= allowed).all(), what


# A step from anywhere. Powers of ten as parts of the range: of inputs, of the weights that they meet, of the other
# weights, of targets.
PLACES = {
    "ordinary": (0, 0, 0, 0),
    "large-inputs": (0.8, -0.8, 0, 0),
    "largest-inputs": (1, -1, 0, 0),
    "large-weights": (-0.8, 0.8, 0, 0),
    "largest-weights": (-1, 1, -0.5, 0),
    "large-weights-behind": (0, 0, 0.3, 0.3),
    "large-targets": (0, 0, 0, 0.4),
    "targets-without-a-square": (0, 0, 0, 0.8),
    "largest-targets": (0, 0, 0, 1),
    "all-large": (0.8, 0.8, 0.8, 0.8),
    "saturated": (0.5, 0.4, 0, 0),
    "products-that-overflow": (0.9, 0.9, 0, 0),
    "gradients-that-overflow": (1, -1, 0, 0.3),
    "small": (-0.3, 0, 0, 0),
    "smallest-inputs": (-1, 0, 0, 0),
    "subnormal-inputs": (-1.1, 0, 0, 0),
    "subnormal-weights": (0, -1.1, 0, 0),
    "all-small": (-0.5, -0.5, -0.5, -0.5),
    "subnormal-targets": (0, 0, 0, -1.1),
}


def placed(shape, dtype, place):
    x, first, second, target = (LONG(10.0) ** (LONG(part) * LONG(DIGITS[dtype])) for part in PLACES[place])
    net = network(shape, dtype)
    X, t = ((a.astype(LONG) * size).astype(dtype) for a, size in zip(numbers(dtype), (x, target), strict=True))
    for name, size in (("in.weight", first), ("past.weight", first), ("out.weight", second)):
        if name in net.parameters:
            net.parameters[name] = (net.parameters[name].astype(LONG) * size).astype(dtype)
    return net, X, t


@wide
@every_dtype
@every_shape
@pytest.mark.parametrize("place", PLACES)
def test_a_step_is_right_or_not_taken(place, shape, dtype):
    net, X, t = placed(shape, dtype, place)
    found, before = truth(net, X, t), net.arrays()
    rate = float(min(LONG(1), LONG(0.1) / max(np.abs(g).max() for g in found.gradients.values()) + LONG(1e-30)))
    top = LONG(np.finfo(dtype).max)
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(rate), batch_size=8)
    try:
        loss = trainer.run(X, t, steps=1).loss[0]
    except fb.DivergedError:
        assert found.largest() > top / 1000
        assert trainer.steps_done == 0
        assert all(np.array_equal(before[name], array) for name, array in net.arrays().items())
        return
    assert max(np.abs(a).max() for a in [found.loss, *found.gradients.values()]) < top * 1000
    assert all(np.isfinite(array).all() for array in net.arrays().values())
    if found.largest() > top:  # an activation may bring what has overflowed back
        return
    assert_near(loss, found.loss, dtype, "loss", 10)
    if found.smallest() > LONG(np.finfo(dtype).tiny) * 10**8:
        for name, gradient in found.gradients.items():
            moved = before[name].astype(LONG) - LONG(rate) * gradient
            assert_near(net.parameters[name], moved, dtype, name)


@wide
@every_dtype
@every_shape
@pytest.mark.parametrize("place", [place for place in PLACES if "overflow" not in place and place != "all-large"])
def test_predictions_and_losses_are_right(place, shape, dtype):
    net, X, t = placed(shape, dtype, place)
    found = truth(net, X, t)
    assert_near(net.predict(X), found.passing[1], dtype, "predict", 4)
    loss = net.evaluate(X, t, loss="mse")
    if found.loss < np.finfo(dtype).max:
        assert_near(loss, found.loss, dtype, "evaluate", 10)
    else:
        assert loss == np.inf


@every_dtype
@every_shape
def test_weights_that_are_all_zero_and_targets_that_are_all_the_same_are_trained_on(shape, dtype):
    net = network(shape, dtype)
    net.flat = np.zeros(net.flat.size)
    X, t = numbers(dtype)
    t[:] = 2.0
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.3), batch_size=8)
    assert trainer.step(X, t) == 4.0
    assert trainer.fit(X, t, epochs=400).loss[-1] < 1e-2
    np.testing.assert_allclose(net.predict(X), t, atol=0.2)


@every_dtype
@every_shape
@pytest.mark.parametrize(("rows", "batch"), [(1, 1), (1, 2**62), (5, 8), (5, 2**40), (5, 2**63 - 1)])
def test_few_rows_in_a_large_batch_are_a_batch(rows, batch, shape, dtype):
    X, t = numbers(dtype, rows)
    ways = []
    for size in (rows, batch):
        trainer = fb.Trainer(network(shape, dtype), loss="mse", batch_size=size)
        ways.append(
            (trainer.run(X, t, 3).loss, trainer.step(X, t), trainer.step(X[:1], t[:1]), trainer.net.flat.tobytes())
        )
    assert ways[0] == ways[1]


# Norms of gradients


@wide
@every_dtype
@pytest.mark.parametrize(
    "words", [{}, {"accumulate": 2}, {"threads": 2, "ema": 0.5}], ids=["plain", "waiting", "threads"]
)
@pytest.mark.parametrize("limit", [1.0, 1e-3, 1e12])
@pytest.mark.parametrize("part", [0.1, 0.45, 0.52, 0.6, 0.9, 0.99])
def test_gradients_of_any_size_are_clipped_to_their_norm(part, limit, words, dtype):
    """Weights are 0 and the loss is |z - t| with z < t, so that dz = -1 / N in every row."""
    net = fb.Network([fb.Linear(40)], inputs=70, dtype=dtype)
    net.flat = np.zeros(net.flat.size)
    size = 10.0 ** (part * DIGITS[dtype])
    X = (np.random.default_rng(0).uniform(0.5, 1.0, (8, 70)) * size).astype(dtype)
    batch = 8 // words.get("accumulate", 1)
    trainer = fb.Trainer(net, "mae", fb.SGD(1.0), batch, clip_norm=limit, **words)
    trainer.run(X, np.ones((8, 40)), steps=1)
    g = {"0.weight": -np.repeat(X.astype(LONG).mean(0)[:, None], 40, 1) / 40, "0.bias": np.full(40, -LONG(1) / 40)}
    norm = np.sqrt(sum((a * a).sum() for a in g.values())) + LONG(1e-6)
    for name, gradient in g.items():
        assert_near(net.parameters[name], -gradient * min(LONG(1), limit / norm), dtype, name)


@every_dtype
def test_a_clipped_step_has_the_same_bits_for_any_number_of_threads_and_wherever_it_is_large(dtype):
    """Gradients that are 2**k times as large are clipped to the same numbers."""
    base = np.random.default_rng(0).uniform(0.5, 1.0, (8, 300)).astype(dtype)
    found = set()
    for power in (40, 80, 125) if dtype == "float32" else (60, 300, 450, 505, 515, 520, 700, 1020):  # 1e-6 is nothing
        for threads in (1, 2, 3):
            net = fb.Network([fb.Linear(100, bias=False)], inputs=300, dtype=dtype)
            net.flat = np.zeros(net.flat.size)
            X = np.ldexp(base, power)
            trainer = fb.Trainer(net, "mae", fb.SGD(1.0), 8, clip_norm=1.0, threads=threads)
            trainer.run(X, np.ones((8, 100)), steps=1)
            found.add(net.flat.tobytes())
    assert len(found) == 1


# Weights of rows


LOSSES = {
    "cross-entropy": fb.CrossEntropy(),
    "class-weights": fb.CrossEntropy(class_weights={1: 3.0}),
    "smoothed": fb.CrossEntropy(class_weights={1: 3.0}, label_smoothing=0.1),
    "ignoring": fb.CrossEntropy(ignore_index=2),
    "mse": fb.MSE(),
}
WEIGHTS = np.array([1.0, 0.5, 0.0, 2.0, 1.5, 1.0, 0.25, 3.0])
LABELS = np.array([0, 1, 2, 0, 1, 2, 1, 0])


def weighted(loss, shape, dtype, weights):
    X, t = numbers(dtype)
    y = t if loss.kind == "mse" else LABELS
    net = network(shape, dtype)
    first = net.evaluate(X, y, loss, sample_weight=weights)
    value, gradients = net.loss_and_gradients(X, y, loss, sample_weight=weights)
    trainer = fb.Trainer(net, loss, batch_size=3)
    held_out = {"validation": (X, y, weights), "metrics": ["rmse" if loss.kind == "mse" else "accuracy"]}
    history = trainer.fit(X, y, epochs=3, sample_weight=weights, **held_out)
    losses = trainer.run(X, y, 4, weights).loss, trainer.step(X, y, weights), history.loss
    scores = history["val_loss"], history[f"val_{held_out['metrics'][0]}"]
    return first, value, {name: g.tobytes() for name, g in gradients.items()}, losses, scores, net.flat.tobytes()


@every_dtype
@every_shape
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_times_a_power_of_two_give_the_same_bits(loss, shape, dtype):
    expected = weighted(LOSSES[loss], shape, dtype, WEIGHTS)
    assert 0.0 < expected[0] < 10.0
    for power in (-1072, -1022, -500, -150, -130, -22, -21, -20, 19, 20, 21, 120, 130, 500, 1020, 1022):
        assert weighted(LOSSES[loss], shape, dtype, np.ldexp(WEIGHTS, power)) == expected, power


@every_dtype
@pytest.mark.parametrize("size", [np.exp(-100.0), 1e-38, 1e-300, 1e38, 1e39, 1e307])
def test_weights_of_any_size_are_divided_by_their_sum(size, dtype):
    X, t = numbers(dtype)
    net = network("chain", dtype)
    weights = WEIGHTS * size
    rows = ((net.predict(X).astype(LONG) - t) ** 2).mean(1)
    expected = (rows * weights.astype(LONG)).sum() / weights.astype(LONG).sum()
    assert_near(net.evaluate(X, t, "mse", sample_weight=weights), expected, dtype, "evaluate", 4)
    assert_near(fb.Trainer(net, "mse").step(X, t, weights), expected, dtype, "step", 4)


def test_weights_that_are_far_apart_count_as_they_do():
    X, t = numbers("float32")
    net = network("chain", "float32")
    weights = 10.0 ** np.array([0.0, -50, 30, -300, 36, 35, -20, -1])
    rows = ((net.predict(X).astype(LONG) - t) ** 2).mean(1)
    expected = (rows * weights.astype(LONG)).sum() / weights.astype(LONG).sum()
    assert_near(net.evaluate(X, t, "mse", sample_weight=weights), expected, "float32", "evaluate", 4)


def test_a_joint_loss_takes_weights_of_any_size():
    x = fb.Input(4)
    net = fb.Network(inputs=x, outputs=[fb.Linear(3)(x), fb.Linear(1)(x)])
    X, t = numbers("float32")
    found = set()
    for power in (-1000, -140, 0, 140, 1000):
        trainer = fb.Trainer(copy.deepcopy(net), loss=fb.JointLoss(["cross_entropy", "mse"]), batch_size=3)
        losses = trainer.run(X, (LABELS, t[:, :1]), 5, np.ldexp(WEIGHTS, power)).loss
        found.add((tuple(losses), trainer.net.flat.tobytes()))
    assert len(found) == 1
    assert losses[0] > 0.1


# What is no number


@every_dtype
@every_shape
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
def test_what_is_not_finite_is_refused_in_a_sentence(where, bad, shape, dtype):
    net = network(shape, dtype)
    X, t = numbers(dtype)
    given = {"X": X, "y": t, "sample_weight": np.ones(8)}
    given[where] = given[where].astype("f8")
    given[where][(3, 0)[: given[where].ndim]] = bad
    rows, targets, weights = given.values()
    trainer, before = fb.Trainer(net, "mse"), net.flat
    calls = (
        lambda: trainer.step(rows, targets, weights),
        lambda: trainer.run(rows, targets, 3, weights),
        lambda: trainer.fit(rows, targets, 3, sample_weight=weights),
        lambda: trainer.fit(X, t, 3, validation=(rows, targets, weights)),
        lambda: net.evaluate(rows, targets, "mse", sample_weight=weights),
        lambda: net.loss_and_gradients(rows, targets, "mse", sample_weight=weights),
    )
    for call in calls:
        with pytest.raises(fb.DataError) as info:
            call()
        assert where in str(info.value)
        assert "must be finite" in str(info.value)
        assert len(str(info.value)) < 200
    assert trainer.steps_done == 0
    assert np.array_equal(net.flat, before)


# Sizes that no integer of compiled code, or no memory, holds


SETTINGS = {
    "batch_size": lambda value: fb.Trainer(fb.mlp([4, 3]), batch_size=value),
    "accumulate": lambda value: fb.Trainer(fb.mlp([4, 3]), accumulate=value),
    "steps": lambda value: fb.Trainer(fb.mlp([4, 3])).run(*NOTHING, value),
    "epochs": lambda value: fb.Trainer(fb.mlp([4, 3])).fit(*NOTHING, value),
    "EarlyStopping.patience": fb.EarlyStopping,
    "ReduceLROnPlateau.patience": lambda value: fb.ReduceLROnPlateau(patience=value),
    "ModelCheckpoint.every": lambda value: fb.ModelCheckpoint("x", every=value),
    "Linear.features": fb.Linear,
    "Embedding.columns[0][0]": lambda value: fb.Embedding({0: (value, 2)}),
    "sizes[1]": lambda value: fb.mlp([2, value, 2]),
    "inputs": lambda value: fb.Network([fb.Linear(2)], value),
    "Input.features": fb.Input,
}
NOTHING = np.ones((4, 4)), np.arange(4) % 3


@pytest.mark.parametrize("value", [2**63, 2**64, 2**70, 10**300, 10**9000], ids=["63", "64", "70", "300", "9000"])
@pytest.mark.parametrize("name", SETTINGS)
def test_what_compiled_code_cannot_count_is_refused(name, value):
    with pytest.raises(fb.ConfigError) as info:
        SETTINGS[name](value)
    assert str(info.value).startswith(f"`{name}` must be below 2**63, got `")
    assert len(str(info.value)) < 300


@pytest.mark.parametrize("value", [2**50, 2**62, 2**63 - 1])
def test_what_no_memory_holds_is_refused_before_any_is_taken(value):
    calls = (
        lambda: fb.mlp([2, value, 2]),
        lambda: fb.mlp([value, 2]),
        lambda: fb.mlp([2, value]),
        lambda: fb.Network([fb.Embedding({0: (value, 2)}), fb.Linear(2)], 1, dtype="float64"),
        lambda: fb.Network([fb.Linear(value, bias=False)], value),
    )
    for call in calls:
        with pytest.raises(MemoryError, match=r"^there is no room for `[0-9]+` bytes of buffers$"):
            call()


@pytest.mark.parametrize("value", [2**31, 2**62, 2**63 - 1])
def test_counts_that_are_never_reached_are_no_matter(value):
    X, y = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % 3
    found = set()
    for words in ({"accumulate": 3}, {"accumulate": value}):
        trainer = fb.Trainer(fb.mlp([4, 3]), batch_size=3, **words)
        trainer.fit(X, y, 2, callbacks=[fb.EarlyStopping(value, monitor="loss")])
        found.add((trainer.steps_done, trainer.net.flat.tobytes()))
    assert len(found) == 1

    def stop(trainer, history):
        history.stopped = "enough"

    ended = trainer.fit(X, y, value, callbacks=[stop])
    assert len(ended.loss) == 1
