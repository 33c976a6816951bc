"""`calibrate="temperature"` of the classifier: one network, several, folds, files, and when to stop."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss

import fastbp as fb
from fastbp.numerics.temperature import temperature
from fastbp.sklearn import MLPClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 4))
Y = np.where(X[:, 0] * X[:, 1] + 0.7 * RNG.normal(size=600) > 0, "yes", "no")
FIT, HELD, NEW = (X[:200], Y[:200]), (X[200:400], Y[200:400]), (X[400:], Y[400:])
KW = {"hidden": (64,), "epochs": 60, "random_state": 0, "learning_rate": 2e-2, "patience": 60}


def codes(y):
    return (y == "yes").astype(int)


def fit(**more):
    return MLPClassifier(**{**KW, **more}).fit(*FIT, X_val=HELD[0], y_val=HELD[1])


def test_probabilities_are_divided_by_the_temperature_of_the_rows_that_are_held_out(tmp_path):
    found = fit(calibrate="temperature")
    z = found.network_.predict(np.asarray(found._read(HELD[0])))
    assert found.temperature_ == temperature(z, codes(HELD[1]))
    z = found.network_.predict(np.asarray(found._read(NEW[0]))).astype(float) / found.temperature_
    assert found.decision_function(NEW[0]) == pytest.approx(z[:, 1] - z[:, 0], rel=1e-12)
    found.save(tmp_path / "m.safetensors")
    file = fb.load(tmp_path / "m.safetensors")
    assert file.layers[-1] == fb.Affine(factor=1.0 / found.temperature_)
    np.testing.assert_allclose(
        file.predict_proba(np.asarray(found._read(NEW[0]))), found.predict_proba(NEW[0]), atol=1e-6
    )
    assert fb.importance(found, *NEW, "log_loss").score == pytest.approx(
        log_loss(NEW[1], found.predict_proba(NEW[0])), rel=1e-5
    )


def test_a_network_with_members_is_calibrated_behind_their_mean_in_files_too(tmp_path):
    found = fit(calibrate="temperature", tabm=4, epochs=20)
    found.save(tmp_path / "m.safetensors")
    file = fb.load(tmp_path / "m.safetensors")
    assert (len(file), file.temperature) == (1, found.temperature_)
    rows = np.asarray(found._read(NEW[0]))
    np.testing.assert_allclose(file.predict_proba(rows), found.predict_proba(NEW[0]), atol=1e-6)
    assert fb.importance(found, *NEW).score == pytest.approx(found.score(*NEW))


def test_it_stops_where_the_log_loss_that_is_left_is_least():
    found = fit(calibrate="temperature", patience=5)
    losses = []

    def watch(trainer, history):
        losses.append(history.metrics["val_calibrated_log_loss"][-1])

    again = fit(calibrate="temperature", patience=5, callbacks=[watch])
    assert len(losses) == again.n_iter_ == found.n_iter_
    left = log_loss(HELD[1], found.predict_proba(HELD[0]))
    assert left == pytest.approx(min(losses), rel=1e-6)
    assert found.n_iter_ == int(np.argmin(losses)) + 1 + 5


def test_several_networks_are_averaged_before():
    found = fit(calibrate="temperature", n_ens=3)
    assert found.ensemble_.temperature == found.temperature_
    raw = found.ensemble_.tempered(1.0).together(np.asarray(found._read(HELD[0])))
    assert found.temperature_ == pytest.approx(temperature(raw, codes(HELD[1])))
    z = found.ensemble_.tempered(1.0).together(np.asarray(found._read(NEW[0]))) / found.temperature_
    assert found.decision_function(NEW[0]) == pytest.approx(z[:, 1] - z[:, 0], rel=1e-6, abs=1e-6)


def test_folds_are_calibrated_on_rows_that_networks_did_not_see():
    plain = MLPClassifier(**KW, n_cv=3).fit(*FIT)
    found = MLPClassifier(**KW, n_cv=3, calibrate="temperature").fit(*FIT)
    assert found.temperature_ == pytest.approx(temperature(np.log(plain.oof_predictions_), codes(FIT[1])), rel=1e-6)
    assert found.temperature_ > 1.0
    p = plain.oof_predictions_ ** (1.0 / found.temperature_)
    np.testing.assert_allclose(found.oof_predictions_, p / p.sum(axis=1, keepdims=True), atol=1e-6)
    assert log_loss(NEW[1], found.predict_proba(NEW[0])) < log_loss(NEW[1], plain.predict_proba(NEW[0]))


def test_labels_weights_and_distillation_go_together_with_it():
    labels = np.stack([codes(Y), X[:, 2] > 0], axis=1)
    found = MLPClassifier(**KW, calibrate="temperature", early_stopping=True).fit(X, labels)
    assert 0.5 < found.temperature_ < 20.0
    student = MLPClassifier(**KW, calibrate="temperature", early_stopping=True)
    soft = fb.distill(RandomForestClassifier(20, random_state=0), X, Y, student)
    assert soft.temperature_ != 1.0
    weighted = MLPClassifier(**KW, calibrate="temperature").fit(
        *FIT, X_val=HELD[0], y_val=HELD[1], sample_weight_val=RNG.random(200)
    )
    assert weighted.temperature_ != fit(calibrate="temperature").temperature_


def test_a_fit_without_it_has_none_and_its_bits():
    found = fit(calibrate="temperature").set_params(calibrate=None).fit(*FIT)
    assert not hasattr(found, "temperature_")
    assert found.predict_proba(X).tobytes() == MLPClassifier(**KW).fit(*FIT).predict_proba(X).tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPClassifier(calibrate="platt").fit(*FIT),
         "`calibrate` must be \"temperature\" or None, got `'platt'`"),
        (lambda: MLPClassifier(calibrate="temperature").fit(*FIT),
         "`calibrate` must be None where no rows are held out, by `early_stopping=True`, `X_val` or `n_cv`,"
         " got `temperature`"),
        (lambda: MLPClassifier(calibrate="temperature").partial_fit(*FIT, classes=["no", "yes"]),
         "partial_fit does not support calibrate, for which it has no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_is_one_sentence(call, message):
    with pytest.raises(fb.FastbpError) as raised:
        call()
    assert str(raised.value) == message
