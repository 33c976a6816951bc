"""Calibration by temperature: of networks, ensembles and their files, in Python; and the measure of what is left."""

import copy
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.numerics.temperature import temperature
from fastbp.train.temperature import fitted, with_temperature

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=300) > 0).astype(np.int64) + (X[:, 1] > 1)
LABELS = np.stack([Y > 0, X[:, 2] + RNG.normal(size=300) > 0], axis=1).astype(np.float32)


def trained(seed=0, outputs=3, y=Y, loss="cross_entropy", **more):
    net = fb.mlp([3, 32, outputs], seed=seed, **more)
    fb.Trainer(net, loss=loss, optimizer=fb.Adam(lr=2e-2)).run(X[:150], y[:150], steps=400)
    return net


def log_loss(p, y=Y[150:]):
    return float(-np.log(p[np.arange(len(y)), y]).mean())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_has_its_temperature_as_its_last_layer(dtype, tmp_path):
    net = trained(dtype=dtype)
    before = net.flat.tobytes()
    found = fb.calibrate(net, X[150:], Y[150:])
    T = temperature(net.predict(X[150:]), Y[150:])
    assert T > 1.2  # it was trained too long
    assert found.layers[-1] == fb.Affine(factor=1.0 / T)
    assert net.flat.tobytes() == found.flat.tobytes() == before
    np.testing.assert_allclose(found.predict(X), net.predict(X) / T, rtol=1e-6, atol=1e-6)
    own, now = net.probabilities(X[150:]), found.probabilities(X[150:])
    assert log_loss(now) < log_loss(own)
    assert (now.argmax(axis=1) == own.argmax(axis=1)).all()
    for factor in (0.97, 1.03):
        assert log_loss(with_temperature(net, T * factor).probabilities(X[150:])) > log_loss(now)
    found.save(tmp_path / "n.safetensors")
    for other in (fb.load(tmp_path / "n.safetensors"), pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert other.predict(X).tobytes() == found.predict(X).tobytes()


def test_running_statistics_and_graphs_come_along():
    x = fb.Input(3)
    h = fb.BatchNorm()(fb.Linear(8)(x))
    net = fb.Network(inputs=x, outputs=fb.Linear(3)(fb.concat([h, x])), seed=0)
    fb.Trainer(net).run(X[:150], Y[:150], steps=50)
    found = fb.calibrate(net, X[150:], Y[150:])
    T = 1.0 / found.layers[-1].factor
    np.testing.assert_allclose(found.predict(X), net.predict(X) / T, rtol=1e-5, atol=1e-6)


def test_one_logit_and_several_labels_have_one_too():
    one = trained(outputs=1, y=LABELS[:, :1], loss="binary_cross_entropy")
    z = np.hstack([np.zeros((150, 1)), one.predict(X[150:])])
    found = fb.calibrate(one, X[150:], LABELS[150:, :1])
    assert 1.0 / found.layers[-1].factor == pytest.approx(temperature(z, LABELS[150:, 0].astype(int)))
    several = trained(outputs=2, y=LABELS, loss="binary_cross_entropy")
    z = several.predict(X[150:]).ravel()
    w = RNG.random(150)
    T = fitted(several.predict(X[150:]), LABELS[150:], several.trained_with, w)
    assert temperature(np.stack([0 * z, z], axis=1), LABELS[150:].ravel().astype(int), np.repeat(w, 2)) == T


def test_rows_that_the_loss_ignores_do_not_count():
    y = np.where(np.arange(300) % 3 == 0, -1, Y)
    loss = fb.CrossEntropy(ignore_index=-1)
    net = trained()
    there = y[150:] != -1
    found = fitted(net.predict(X[150:]), y[150:], loss)
    assert found == temperature(net.predict(X[150:])[there], y[150:][there])


def test_members_are_averaged_before_they_are_calibrated(tmp_path):
    nets = [trained(seed) for seed in range(3)]
    ensemble = fb.Ensemble(nets, weights=[1, 2, 1])
    found = fb.calibrate(ensemble, X[150:], Y[150:])
    mean = np.average([net.probabilities(X).astype(float) for net in nets], axis=0, weights=[1, 2, 1])
    T = temperature(np.log(mean[150:]), Y[150:])
    assert found.temperature == pytest.approx(T, rel=1e-5)
    assert ensemble.temperature == 1.0
    must = mean ** (1.0 / found.temperature)
    must /= must.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.predict(X), must, atol=1e-5)
    np.testing.assert_allclose(found.probabilities(X), must, atol=1e-5)
    assert found.evaluate(X[150:], Y[150:]) < ensemble.evaluate(X[150:], Y[150:])
    assert found.evaluate(X[150:], Y[150:], "log_loss") == pytest.approx(log_loss(must[150:]), rel=1e-5)
    assert found.spread(X).tobytes() == ensemble.spread(X).tobytes()
    assert repr(found) == f"Ensemble(members=3, loss='cross_entropy', weights=[1.0, 2.0, 1.0], temperature={T:.4g})"
    found.save(tmp_path / "e.safetensors")
    for other in (fb.load(tmp_path / "e.safetensors"), pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert other.temperature == found.temperature
        assert other.predict(X).tobytes() == found.predict(X).tobytes()
    again = fb.calibrate(found, X[150:], Y[150:])
    assert again.temperature == found.temperature


def test_a_network_with_members_becomes_an_ensemble_of_one_whose_mean_comes_first(tmp_path):
    layers = [fb.Members(4, average="softmax"), fb.MemberScale(), fb.Linear(16), fb.ReLU(), fb.MemberLinear(3)]
    net = fb.Network(layers, inputs=3, seed=0)
    fb.Trainer(net, optimizer=fb.Adam(lr=2e-2)).run(X[:150], Y[:150], steps=300)
    found = fb.calibrate(net, X[150:], Y[150:])
    T = temperature(net.predict(X[150:]), Y[150:])
    assert found.temperature == pytest.approx(T, rel=1e-6)
    must = np.exp(net.predict(X).astype(float) / T)
    np.testing.assert_allclose(found.predict(X), must / must.sum(axis=1, keepdims=True), atol=1e-5)
    found.save(tmp_path / "e.safetensors")
    assert fb.load(tmp_path / "e.safetensors").predict(X).tobytes() == found.predict(X).tobytes()
    with pytest.raises(fb.ConfigError) as raised:
        with_temperature(net, T)
    assert raised.value.must == "must have no `Members` for a last layer with a temperature"


def test_labels_of_an_ensemble_are_calibrated_one_by_one():
    nets = [trained(seed, 2, LABELS, "binary_cross_entropy") for seed in range(2)]
    found = fb.calibrate(fb.Ensemble(nets), X[150:], LABELS[150:])
    z = np.array([net.predict(X) for net in nets], float)
    mean = np.mean(1.0 / (1.0 + np.exp(-z)), axis=0)
    z = np.log(mean) - np.log1p(-mean)
    np.testing.assert_allclose(found.predict(X), 1.0 / (1.0 + np.exp(-z / found.temperature)), atol=1e-5)


def test_the_measure_is_the_log_loss_that_is_left_behind_the_best_temperature():
    net = trained()
    z = net.predict(X[150:]).astype(float)
    left = fb.metrics.evaluate("calibrated_log_loss", z, Y[150:], loss="cross_entropy")
    assert left == pytest.approx(log_loss(fb.calibrate(net, X[150:], Y[150:]).probabilities(X[150:])), rel=1e-5)
    for factor in (0.05, 1.0, 30.0):
        again = fb.metrics.evaluate("calibrated_log_loss", factor * z, Y[150:], loss="cross_entropy")
        assert again == pytest.approx(left, rel=1e-9)
    assert fb.metrics.calibrated_log_loss(Y[150:] > 0, z[:, 1] - z[:, 0]) > 0.0
    ensemble = fb.Ensemble([net])
    assert ensemble.evaluate(X[150:], Y[150:], "calibrated_log_loss") == pytest.approx(left, rel=1e-5)
    several = fb.Ensemble([trained(0, 2, LABELS, "binary_cross_entropy")])
    z = several.members[0].predict(X[150:])
    must = fb.metrics.evaluate("calibrated_log_loss", z, LABELS[150:], loss="binary_cross_entropy")
    assert several.evaluate(X[150:], LABELS[150:], "calibrated_log_loss") == pytest.approx(must, rel=1e-5)


def test_a_fit_stops_by_it_and_goes_back_to_its_best_epoch():
    net = fb.mlp([3, 64, 3], seed=0)
    stop = fb.EarlyStopping(patience=8, monitor="val_calibrated_log_loss")
    history = fb.Trainer(net, optimizer=fb.Adam(lr=2e-2)).fit(
        X[:150], Y[:150], epochs=200, validation=(X[150:], Y[150:]), callbacks=[stop], metrics=["calibrated_log_loss"]
    )
    curve = history.val_calibrated_log_loss
    assert len(curve) < 200
    assert stop.best_epoch == int(np.argmin(curve)) + 1
    assert fb.metrics.evaluate(
        "calibrated_log_loss", net.predict(X[150:]), Y[150:], loss="cross_entropy"
    ) == pytest.approx(min(curve), rel=1e-9)
    assert all(left <= loss + 1e-6 for left, loss in zip(curve, history.val_loss, strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fb.calibrate(3, X, Y),
         "`model` must be a network or an ensemble, got `int`\n"
         "hint: `calibrate=` of the estimators, and `trainer.calibrate` of configurations, do it in training"),
        (lambda: fb.calibrate(fb.mlp([3, 3]), X, Y),
         "`loss` must be given, as no trainer was made for this network and its outputs may mean anything\n"
         'hint: `loss="cross_entropy"` takes them as logits'),
        (lambda: fb.calibrate(fb.mlp([3, 1]), X, X[:, 0], loss="mse"),
         "`loss` must be `cross_entropy` or `binary_cross_entropy` for outputs to be probabilities, got `mse`"),
        (lambda: fb.calibrate(fb.mlp([3, 3]), X, loss="cross_entropy"), "`y` must be given with an array, got `None`"),
        (lambda: fb.calibrate(fb.Network([fb.Linear(3), fb.Softmax()], inputs=3), X, Y, loss="cross_entropy"),
         "`model` must end in logits to be calibrated, got `softmax`"),
        (lambda: fb.calibrate(fb.Ensemble([fb.mlp([3, 3])], loss="cross_entropy"), X, Y, loss="mse"),
         "`loss` must be left out for an ensemble, which has its own, got `mse`"),
        (lambda: fb.calibrate(fb.mlp([3, 3]), X, Y[:9], loss="cross_entropy"),
         "`y` must have shape `(300,)`, got `(9,)`"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_is_one_sentence(call, message):
    with pytest.raises(fb.FastbpError) as raised:
        call()
    assert str(raised.value) == message
