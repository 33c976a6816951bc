"""Layers with parameters of their own, and what a trainer can do with gradients, against the twins."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from tests.model.layer_cases import LAYER_CASES

CASES = [(name, i) for name, cases in LAYER_CASES.items() for i in range(len(cases))]
every_case = pytest.mark.parametrize(("name", "number"), CASES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_shape = pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 16), (33, 17), (65, 40), (130, 8)], ids=str)
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def stand(name, number, shape, dtype):
    """A network of a random bit of that layer, rows, cotangents, and what the twin makes of them in float64."""
    case = LAYER_CASES[name][number]
    rng = np.random.default_rng([*shape, number])
    rows, width = shape
    net = fb.Network(case.layers, inputs=width, dtype=dtype)
    for part, values in net.parameters.items():
        net.parameters[part] = values + 0.3 * rng.normal(size=values.shape)
    for part, values in net.states.items():
        net.states[part] = values + rng.random(values.shape)
    x = rng.normal(size=shape).astype(dtype)
    if name == "embedding":
        x[:, 0] = rng.integers(0, 5, rows)
    dy = rng.normal(size=(rows, net.outputs)).astype(dtype)
    known = {**net.parameters, **net.states}
    parts = {full.split(".")[1]: values.astype(np.float64) for full, values in known.items()}
    return net, x, dy, case.twin(parts, x.astype(np.float64), dy.astype(np.float64))


def close(actual, expected, dtype, scale=1.0):
    assert actual.shape == expected.shape
    largest = max(1.0, np.abs(expected).max(initial=0.0)) * scale
    assert np.abs(actual - expected).max(initial=0.0) <= TOLERANCE[dtype] * largest


# A mean over one number leaves nothing of it: its normalised row is rounding alone.
def degenerate(name, shape):
    return name in ("layer_norm", "rms_norm") and shape[1] == 1


@every_shape
@every_dtype
@every_case
def test_forward_and_vjp_are_the_twin(name, number, dtype, shape):
    net, x, dy, (y, dx, _) = stand(name, number, shape, dtype)
    close(net.predict(x), y, dtype)
    if not degenerate(name, shape):
        close(net.vjp(x, dy), dx, dtype, 10.0)


@every_shape
@every_dtype
@every_case
def test_gradients_of_parameters_are_the_twin(name, number, dtype, shape):
    """Of the loss ½ Σ (y - t)², whose cotangent is y - t; of members, whose losses are their own, of Σ y dy."""
    net, x, dy, (y, _, _) = stand(name, number, shape, dtype)
    t = (y - dy).astype(dtype)
    if net.graph.members:
        found = net.parameter_vjp(x, (y - t).astype(dtype))
    else:
        _, found = net.loss_and_gradients(x, t, loss=fb.HalfMSE(reduction="sum"))
    case = LAYER_CASES[name][number]
    known = {**net.parameters, **net.states}
    parts = {full.split(".")[1]: values.astype(np.float64) for full, values in known.items()}
    _, _, gradients = case.twin(parts, x.astype(np.float64), y - t.astype(np.float64))
    for full, gradient in found.items():
        close(gradient, np.asarray(gradients[full.split(".")[1]]), dtype, 10.0)


@every_shape
@every_case
def test_vjp_and_jvp_are_adjoint(name, number, shape):
    net, x, dy, _ = stand(name, number, shape, "float64")
    t = np.random.default_rng(0).normal(size=x.shape)
    if name == "embedding":
        t[:, 0] = 0.0
    pushed, pulled = (dy * net.jvp(x, t)).sum(), (net.vjp(x, dy) * t).sum()
    size = np.abs(dy).sum() * np.abs(t).sum()
    assert abs(pushed - pulled) <= 1e-12 * max(1.0, size)


def whole(loss, seed, tail=(), layers=None):
    """A network of many layers in training mode, and its directional derivative both ways."""
    rng = np.random.default_rng(seed)
    layers = layers or [
        fb.Linear(9, ntk=True),
        fb.BatchNorm(),
        fb.GELU(),
        fb.Linear(8),
        fb.LayerNorm(),
        fb.PReLU(),
        fb.Dropout(0.3),
        fb.Linear(7),
        fb.RMSNorm(),
        fb.Mish(),
        fb.Scale(),
        fb.BatchNorm(affine=False),
    ]
    outputs = 6
    net = fb.Network([*layers, fb.Linear(outputs), *tail], inputs=5, seed=seed, dtype="float64")
    return net, rng.normal(size=(11, 5)), rng


LOSS_TARGETS = {
    "cross_entropy": lambda rng: rng.integers(0, 6, 11),
    "binary_cross_entropy": lambda rng: rng.random((11, 6)),
    "poisson": lambda rng: rng.poisson(2.0, (11, 6)),
    "gaussian_nll": lambda rng: rng.normal(size=(11, 3)),
    "multi_margin": lambda rng: rng.integers(0, 6, 11),
}
LOSSES = [
    "cross_entropy",
    fb.CrossEntropy(label_smoothing=0.2, class_weights=[1, 2, 3, 1, 2, 0.5]),
    fb.CrossEntropy(class_weights={1: 3.0}, ignore_index=2),
    fb.BinaryCrossEntropy(pos_weight=[1, 2, 3, 4, 5, 6]),
    "mse",
    "half_mse",
    "mae",
    fb.Huber(delta=0.5),
    fb.Quantile(q=0.8),
    "log_cosh",
    "poisson",
    "gaussian_nll",
    fb.MultiMargin(p=2, margin=0.7),
    fb.MSE(reduction="sum"),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_gradients_of_whole_networks_match_central_differences(loss, seed):
    net, X, rng = whole(loss, seed)
    kind = loss if isinstance(loss, str) else loss.kind
    y = LOSS_TARGETS.get(kind, lambda rng: rng.normal(size=(11, 6)))(rng)
    weights = rng.random(11) + 0.1
    at, way = net.flat, rng.normal(size=net.flat.size)
    way /= np.linalg.norm(way)

    def both():
        value, gradients = net.loss_and_gradients(X, y, loss=loss, sample_weight=weights, training=True)
        return value, np.concatenate([g.ravel() for g in gradients.values()])

    slope, h, sides = both()[1] @ way, 1e-6, []
    for sign in (1, -1):
        net.flat = at + sign * h * way
        sides.append(both()[0])
    assert abs((sides[0] - sides[1]) / (2 * h) - slope) <= 1e-7 * max(1.0, abs(slope))
    assert abs(slope) > 1e-6


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if isinstance(loss, str)])
def test_losses_with_sample_weights_are_the_twin(loss):
    rng = np.random.default_rng(3)
    z = rng.normal(size=(11, 6))
    net = fb.Network([fb.Identity()], inputs=6, dtype="float64")
    y = LOSS_TARGETS.get(loss, lambda rng: rng.normal(size=(11, 6)))(rng)
    for weights in (None, rng.random(11)):
        for reduction in ("mean", "sum"):
            expected, _ = getattr(reference, loss)(z, y, sample_weight=weights, reduction=reduction)
            from fastbp.spec.catalogue import LOSSES as kinds

            found = net.evaluate(z, y, loss=kinds[loss](reduction=reduction), sample_weight=weights)
            assert abs(found - expected) <= 1e-12 * max(1.0, abs(expected))


def trained(threads=1, **words):
    rng = np.random.default_rng(5)
    net = fb.Network([fb.Linear(9), fb.BatchNorm(), fb.ReLU(), fb.Linear(4)], inputs=5, seed=2, dtype="float64")
    X, y = rng.normal(size=(50, 5)), rng.integers(0, 4, 50)
    trainer = fb.Trainer(net, batch_size=16, threads=threads, **{"optimizer": fb.SGD(0.5), **words})
    trainer.run(X, y, steps=words.get("steps", 8))
    return net, trainer


def test_gradients_that_wait_give_the_same_parameters():
    """A limit that is never reached changes nothing but the order of phases."""
    plain, _ = trained()
    staged, _ = trained(clip_norm=1e9)
    np.testing.assert_array_equal(plain.flat, staged.flat)
    np.testing.assert_array_equal(plain.states.flat(), staged.states.flat())


@pytest.mark.parametrize("words", [{"clip_norm": 0.1}, {"clip_value": 0.01}], ids=str)
def test_clipping_is_the_twin(words):
    net = fb.Network([fb.Linear(3), fb.Tanh(), fb.Linear(2)], inputs=4, seed=1, dtype="float64")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4)), rng.integers(0, 2, 20)
    _, gradients = net.loss_and_gradients(X, y)
    before, parts = net.flat, list(gradients.values())
    if "clip_norm" in words:
        parts, _ = reference.clip_norm(parts, words["clip_norm"])
    else:
        parts = reference.clip_value(parts, words["clip_value"])
    fb.Trainer(net, optimizer=fb.SGD(1.0), **words).step(X, y)
    expected = before - np.concatenate([np.asarray(p).ravel() for p in parts])
    np.testing.assert_allclose(net.flat, expected, rtol=0, atol=1e-13)


def test_accumulated_batches_are_one_step_of_their_mean_gradient():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(32, 4)), rng.integers(0, 2, 32)
    nets = [fb.Network([fb.Linear(3), fb.Tanh(), fb.Linear(2)], inputs=4, seed=1, dtype="float64") for _ in range(2)]
    fb.Trainer(nets[0], optimizer=fb.Adam(0.1), batch_size=8, accumulate=4).run(X, y, steps=5)
    fb.Trainer(nets[1], optimizer=fb.Adam(0.1), batch_size=32).run(X, y, steps=5)
    np.testing.assert_allclose(nets[0].flat, nets[1].flat, rtol=0, atol=1e-11)


def test_frozen_layers_stay_and_factors_scale():
    net, _ = trained(frozen=["0", "3.bias"])
    start = fb.Network(net.layers, inputs=5, seed=2, dtype="float64")
    for name in ("0.weight", "0.bias", "3.bias"):
        np.testing.assert_array_equal(net.parameters[name], start.parameters[name])
    assert (net.parameters["3.weight"] != start.parameters["3.weight"]).any()
    moved = []
    for factor in (1.0, 0.5):
        net = fb.Network([fb.Linear(2)], inputs=3, seed=0, dtype="float64")
        before = net.parameters["0.weight"]
        fb.Trainer(net, "mse", fb.SGD(0.1), lr_factors={"0.weight": factor}).step(np.ones((2, 3)), np.zeros((2, 2)))
        moved.append(net.parameters["0.weight"] - before)
    np.testing.assert_allclose(moved[1], 0.5 * moved[0], rtol=1e-12)


def test_the_running_average_follows_the_parameters():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(8, 4)), rng.integers(0, 2, 8)
    net = fb.Network([fb.Linear(2)], inputs=4, seed=1, dtype="float64")
    trainer = fb.Trainer(net, optimizer=fb.SGD(0.1), ema=0.75)
    trainer.step(X, y)
    mean = net.flat
    np.testing.assert_array_equal(trainer.averaged.flat, mean)
    for _ in range(3):
        trainer.step(X, y)
        mean = 0.75 * mean + 0.25 * net.flat
    np.testing.assert_allclose(trainer.averaged.flat, mean, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        trainer.averaged.predict(X), X @ trainer.averaged.parameters["0.weight"] + trainer.averaged.parameters["0.bias"]
    )


def test_only_rows_of_an_embedding_that_occur_are_updated():
    net = fb.Network([fb.Embedding({0: (6, 3)}), fb.Linear(2)], inputs=2, seed=0)
    before = net.parameters["0.column0"]
    X = np.array([[1.0, 0.5], [4.0, 0.1], [1.0, -1.0]])
    for words in ({}, {"clip_norm": 1.0}):
        fb.Trainer(net, optimizer=fb.AdamW(0.1), **words).step(X, [0, 1, 1])
    changed = (net.parameters["0.column0"] != before).any(axis=1)
    assert changed.tolist() == [False, True, False, False, True, False]


def test_batch_norm_learns_its_running_statistics_as_the_twin():
    rng = np.random.default_rng(0)
    X, y = rng.normal(2.0, 3.0, size=(20, 4)), rng.integers(0, 2, 20)
    net = fb.Network([fb.BatchNorm(), fb.Linear(2)], inputs=4, dtype="float64")
    fb.Trainer(net).step(X, y)
    mean, var = reference.batch_norm_statistics(X, np.zeros(4), np.ones(4))
    np.testing.assert_allclose(net.states["0.running_mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(net.states["0.running_var"], var, rtol=1e-12)


@every_dtype
def test_threads_change_no_bit_of_any_layer(dtype, monkeypatch):
    from fastbp.lowering import plans

    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(150, 6)), rng.integers(0, 5, 150)
    X[:, 1] = rng.integers(0, 4, 150)
    layers = [fb.Embedding({1: (4, 3)}), fb.Linear(70), fb.BatchNorm(), fb.PReLU(), fb.Linear(40), fb.LayerNorm()]
    layers += [fb.SiLU(), fb.Linear(33), fb.RMSNorm(), fb.Scale(), fb.Linear(5)]
    found = []
    for threads in (1, 2, 3):
        for words in ({}, {"clip_norm": 0.5, "accumulate": 2}):
            net = fb.Network(layers, inputs=6, seed=3, dtype=dtype)
            fb.Trainer(net, optimizer=fb.NAdam(), batch_size=64, threads=threads, **words).run(X, y, steps=7)
            found.append((str(words), net.flat.tobytes() + net.states.flat().tobytes()))
    assert len(set(found)) == 2


def test_a_schedule_sets_the_rate_of_every_step():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), rng.integers(0, 2, 12)
    nets = [fb.Network([fb.Linear(2)], inputs=3, seed=0, dtype="float64") for _ in range(2)]
    schedule = fb.Cosine(warmup=2)
    fb.Trainer(nets[0], optimizer=fb.SGD(0.5), batch_size=12, schedule=schedule).run(X, y, steps=9)
    for factor in schedule.factors(0, 9, 9):
        fb.Trainer(nets[1], optimizer=fb.SGD(0.5 * factor), batch_size=12).run(X, y, steps=1)
    np.testing.assert_allclose(nets[0].flat, nets[1].flat, rtol=0, atol=1e-14)
