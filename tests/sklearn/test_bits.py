"""An estimator adds no arithmetic: what it learns is what a trainer learns, to the bit."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn")

import fastbp as fb
from fastbp.data.frame import Frame
from fastbp.numerics.exact import exp
from fastbp.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(5)
X = RNG.normal(3.0, 2.0, size=(90, 4))
Y = (X[:, 0] > 3.0).astype(int) + (X[:, 1] > 4.0)
T = np.column_stack([X[:, 0] * X[:, 1], 5.0 - X[:, 2]])


def standardised(columns):
    return (columns - columns.mean(axis=0)) / np.sqrt(np.square(columns - columns.mean(axis=0)).mean(axis=0))


def trainer_of(outputs, loss):
    net = fb.mlp([4, 8, outputs], activation="tanh", seed=7, dropout=0.1)
    return net, fb.Trainer(net, loss=loss, optimizer=fb.SGD(lr=0.05), batch_size=16)


KW = {"hidden": (8,), "activation": "tanh", "dropout": 0.1, "optimizer": "sgd", "learning_rate": 0.05}
TREES = ["ash", "birch", "cedar"]
KW |= {"batch_size": 16, "epochs": 6, "random_state": 7}


def test_a_classifier_is_a_trainer():
    net, trainer = trainer_of(3, "cross_entropy")
    history = trainer.fit(standardised(X).astype(np.float32), Y, epochs=6)
    found = MLPClassifier(**KW).fit(X, Y)
    assert found.loss_curve_ == history.loss
    assert [w.tobytes() for w in found.coefs_] == [net.parameters[f"{i}.weight"].tobytes() for i in (0, 3)]
    assert [b.tobytes() for b in found.intercepts_] == [net.parameters[f"{i}.bias"].tobytes() for i in (0, 3)]
    assert (found.n_iter_, found.t_, found.best_loss_, found.n_layers_) == (6, 540, min(history.loss), 3)


def test_a_regressor_is_a_trainer_on_scaled_targets():
    net, trainer = trainer_of(2, "mse")
    history = trainer.fit(standardised(X).astype(np.float32), standardised(T).astype(np.float32), epochs=6)
    found = MLPRegressor(**KW).fit(X, T)
    assert found.loss_curve_ == history.loss
    raw = net.predict(standardised(X).astype(np.float32)).astype(np.float64)
    spread = np.sqrt(np.square(T - T.mean(axis=0)).mean(axis=0))
    assert np.allclose(found.predict(X), raw * spread + T.mean(axis=0), rtol=1e-14, atol=1e-14)
    assert found.n_outputs_ == 2


def test_parts_and_warm_starts_go_on_as_a_trainer_does():
    _, trainer = trainer_of(3, "cross_entropy")
    rows = standardised(X).astype(np.float32)
    first, second = trainer.fit(rows, Y, epochs=6), trainer.fit(rows, Y, epochs=6)
    warm = MLPClassifier(**KW, warm_start=True).fit(X, Y).fit(X, Y)
    assert warm.loss_curve_ == first.loss + second.loss
    assert (warm.n_iter_, warm.t_) == (12, 1080)
    parts = MLPClassifier(**KW)
    for _ in range(12):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert parts.loss_curve_ == warm.loss_curve_
    assert parts.coefs_[1].tobytes() == warm.coefs_[1].tobytes()


def test_training_goes_on_at_another_rate():
    _, trainer = trainer_of(3, "cross_entropy")
    rows = standardised(X).astype(np.float32)
    losses = trainer.fit(rows, Y, epochs=6).loss
    trainer.optimizer = replace(trainer.optimizer, lr=1e-3)
    losses += trainer.fit(rows, Y, epochs=6).loss
    warm = MLPClassifier(**KW, warm_start=True).fit(X, Y).set_params(learning_rate=1e-3).fit(X, Y)
    assert warm.loss_curve_ == losses
    parts = MLPClassifier(**KW)
    for epoch in range(12):
        parts.set_params(learning_rate=KW["learning_rate"] if epoch < 6 else 1e-3)
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert parts.loss_curve_ == losses


def test_training_goes_on_with_the_threads_that_are_asked_for_then():
    whole = MLPClassifier(**{**KW, "epochs": 12}, n_threads=2).fit(X, Y)
    found = MLPClassifier(**KW, n_threads=2, warm_start=True).fit(X, Y)
    threads = []
    found.set_params(n_threads=1, callbacks=[lambda trainer, history: threads.append(trainer.threads)]).fit(X, Y)
    assert threads == [1] * 6
    assert found.loss_curve_ == whole.loss_curve_
    assert found.coefs_[1].tobytes() == whole.coefs_[1].tobytes()


CHANGED = {
    "hidden": ((4,), "`hidden` must stay `(8,)` where training goes on, got `(4,)`"),
    "batch_size": (7, "`batch_size` must stay `16` where training goes on, got `7`"),
    "scale": ("robust", "`scale` must stay `'standard'` where training goes on, got `'robust'`"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_a_network_is_made_of_stays_where_training_goes_on(name):
    value, message = CHANGED[name]
    found = MLPClassifier(**KW, warm_start=True).fit(X, Y).set_params(**{name: value})
    for again in (lambda: found.fit(X, Y), lambda: found.partial_fit(X, Y)):
        with pytest.raises(fb.ConfigError) as info:
            again()
        assert str(info.value) == f"{message}\nhint: `sklearn.clone` of it starts anew"
    assert len(found.set_params(warm_start=False).fit(X, Y).loss_curve_) == 6


def test_the_kind_of_optimizer_stays_where_training_goes_on():
    found = MLPClassifier(**KW, warm_start=True).fit(X, Y).set_params(optimizer="adam")
    with pytest.raises(fb.ConfigError, match="`optimizer` must stay the same kind as `SGD"):
        found.fit(X, Y)


def test_a_copy_from_a_pickle_goes_on_with_the_same_bits():
    here = MLPClassifier(**{**KW, "optimizer": "adam", "learning_rate": None}).fit(X, Y)
    there = pickle.loads(pickle.dumps(here))
    assert there.predict_proba(X).tobytes() == here.predict_proba(X).tobytes()
    for found in (here, there):
        found.partial_fit(X, Y)
    assert there.loss_curve_ == here.loss_curve_
    assert there.coefs_[0].tobytes() == here.coefs_[0].tobytes()


@pytest.mark.parametrize("rows", [24, 90])
def test_rows_of_weight_zero_are_not_there(rows):
    weight = np.arange(rows) % 4
    weighted = MLPClassifier(**KW, early_stopping=True).fit(X[:rows], Y[:rows], sample_weight=weight)
    kept = weight > 0
    removed = MLPClassifier(**KW, early_stopping=True).fit(X[:rows][kept], Y[:rows][kept], weight[kept])
    assert weighted.loss_curve_ == removed.loss_curve_
    assert weighted.coefs_[0].tobytes() == removed.coefs_[0].tobytes()


def test_in_one_batch_weights_are_repetitions_and_order_means_nothing():
    weight, mixed = np.arange(16) % 3, RNG.permutation(12)
    settings = {**KW, "batch_size": 64}
    weighted = MLPRegressor(**settings).fit(X[:16], T[:16, 0], weight)
    repeated = MLPRegressor(**settings).fit(X[:16].repeat(weight, axis=0), T[:16, 0].repeat(weight))
    assert weighted.coefs_[0].tobytes() == repeated.coefs_[0].tobytes()
    one, other = (MLPRegressor(**settings).fit(X[order], T[order, 0]) for order in (np.arange(12), mixed))
    assert one.coefs_[0].tobytes() == other.coefs_[0].tobytes()


@pytest.mark.parametrize(
    "labels",
    [np.array(TREES), np.array(TREES, object), np.array([-3, 0, 8]), np.array([1.0, 2.0, 4.0])],
    ids=["texts", "objects", "integers", "numbers"],
)
def test_labels_may_be_called_anything(labels):
    found, plain = MLPClassifier(**KW).fit(X, labels[Y]), MLPClassifier(**KW).fit(X, Y)
    assert np.array_equal(found.classes_, labels)
    assert np.array_equal(found.predict(X), labels[plain.predict(X)])
    assert found.predict(X).dtype == labels.dtype


def test_booleans_are_two_classes_with_one_decision():
    found = MLPClassifier(**KW).fit(X, Y > 0)
    decision, chance = found.decision_function(X), found.predict_proba(X)
    assert found.classes_.tolist() == [False, True]
    assert decision.shape == (90,)
    assert np.array_equal(found.predict(X), decision > 0)
    assert np.allclose(chance[:, 1], 1.0 / (1.0 + np.exp(-decision)))
    assert np.allclose(np.exp(found.predict_log_proba(X)), chance)


def test_several_labels_are_told_independently():
    several = np.column_stack([Y > 0, Y > 1]).astype(int)
    found = MLPClassifier(**{**KW, "epochs": 200}).fit(X, several)
    chance = found.predict_proba(X)
    assert np.array_equal(found.predict(X), (chance > 0.5).astype(int))
    assert (found.predict(X) == several).mean() > 0.9
    assert found.out_activation_ == "logistic"
    net = found.network_
    x = found.recipe_.inputs.matrix(Frame(X), "float32")
    assert np.allclose(chance, 1.0 / (1.0 + np.exp(-net.predict(x).astype(float))))


def test_an_integer_seed_repeats_and_none_does_not():
    assert MLPClassifier(**KW).fit(X, Y).loss_curve_ == MLPClassifier(**KW).fit(X, Y).loss_curve_
    drawn = [MLPClassifier(**{**KW, "random_state": None}).fit(X, Y).loss_curve_ for _ in range(2)]
    assert drawn[0] != drawn[1]


def test_balanced_classes_weigh_the_same():
    plain = MLPClassifier(**KW, class_weight="balanced").fit(X, Y)
    counts = np.bincount(Y)
    weighted = MLPClassifier(**KW).fit(X, Y, sample_weight=len(Y) / (3 * counts[Y]))
    assert plain.loss_curve_ == weighted.loss_curve_
    by_name = MLPClassifier(**KW, class_weight={1: 2.5}).fit(X, Y)
    assert by_name.loss_curve_ == MLPClassifier(**KW).fit(X, Y, np.where(Y == 1, 2.5, 1.0)).loss_curve_


def test_it_stops_by_rows_that_are_given_and_keeps_the_best():
    given = {"X_val": X[60:], "y_val": Y[60:]}
    found = MLPClassifier(**{**KW, "epochs": 400, "learning_rate": 0.5}, patience=3).fit(X[:60], Y[:60], **given)
    losses = found.validation_loss_curve_
    assert found.n_iter_ == len(losses) == int(np.argmin(losses)) + 4 < 400
    chance = found.predict_proba(X[60:])[np.arange(30), Y[60:]]
    assert -np.log(chance).mean() == pytest.approx(min(losses), rel=1e-5)
    assert found.best_loss_ == min(losses)
    assert found.best_validation_score_ == max(found.validation_scores_)


def test_some_rows_are_held_out_where_none_are_given():
    found = MLPRegressor(**KW, early_stopping=True, validation_fraction=0.25).fit(X, T)
    assert found.t_ == 6 * 67
    assert len(found.validation_scores_) == 6
    assert MLPRegressor(**KW).fit(X, T).validation_scores_ is None


def test_probabilities_are_those_of_the_network_and_nothing_of_the_machine_makes_them(monkeypatch):
    one = MLPClassifier(**KW, dtype="float64").fit(X, Y)
    labels = MLPClassifier(**KW, dtype="float64").fit(X, T.mean(axis=0) < T)
    rows = {found: found.recipe_.inputs.matrix(Frame(X), np.float64) for found in (one, labels)}
    for name in ("exp", "log", "log1p", "logaddexp"):
        monkeypatch.setattr(np, name, None)
    for found, x in rows.items():
        p = found.predict_proba(X)
        assert p.tobytes() == found.network_.probabilities(x).tobytes()
        assert exp(found.predict_log_proba(X)) == pytest.approx(p, abs=1e-14)
