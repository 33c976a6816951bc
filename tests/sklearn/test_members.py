"""Several networks in the place of one: `n_ens` and `n_cv`, each with the bits of one alone."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fastbp as fb
from fastbp.numerics.likely import softmax
from fastbp.numerics.splits import split
from fastbp.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(6)
X = RNG.normal(3.0, 2.0, size=(90, 4))
Y = (X[:, 0] > 3.0).astype(int) + (X[:, 1] > 4.0)
T = 10.0 + X[:, 0] * X[:, 1]
W = RNG.uniform(0.2, 3.0, size=90)
KW = {"hidden": (8,), "learning_rate": 1e-2, "batch_size": 16, "epochs": 6, "random_state": 7}
MAKERS = pytest.mark.parametrize(("made", "y"), [(MLPClassifier, Y), (MLPRegressor, T)], ids=["classes", "numbers"])


def bits(networks):
    return [net.flat.tobytes() for net in networks]


def alone(found, outputs=3):
    """Trainers with the networks that `found` began with."""
    nets = [fb.mlp([4, 8, outputs], seed=net.seed) for net in found.networks_]
    return [fb.Trainer(net, optimizer=fb.AdamW(lr=1e-2), batch_size=16) for net in nets]


def matrix_of(rows):
    return ((rows - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)


@MAKERS
def test_members_are_estimators_with_the_seeds_from_the_first_on(made, y):
    found = made(**KW, n_ens=3).fit(X, y, W)
    each = [made(**{**KW, "random_state": 7 + i}).fit(X, y, W) for i in range(3)]
    assert bits(found.networks_) == bits(one.network_ for one in each)
    assert found.loss_curve_ == np.mean([one.loss_curve_ for one in each], axis=0).tolist()
    assert (found.n_iter_, found.t_, found.n_layers_) == (6, 3 * 540, 3)
    assert found.best_loss_ == min(found.loss_curve_)


def test_a_prediction_is_the_mean_of_what_the_members_say():
    found = MLPClassifier(**KW, n_ens=3).fit(X, Y)
    each = [MLPClassifier(**{**KW, "random_state": 7 + i}).fit(X, Y) for i in range(3)]
    mean = np.mean([one.predict_proba(X) for one in each], axis=0)
    assert found.predict_proba(X) == pytest.approx(mean, abs=1e-12)
    assert np.exp(found.predict_log_proba(X)) == pytest.approx(mean, abs=1e-12)
    assert np.array_equal(found.predict(X), mean.argmax(axis=1))
    assert found.ensemble_.predict(matrix_of(X)) == pytest.approx(mean, abs=1e-6)
    numbers = MLPRegressor(**KW, n_ens=2).fit(X, T)
    each = [MLPRegressor(**{**KW, "random_state": 7 + i}).fit(X, T).predict(X) for i in range(2)]
    assert numbers.predict(X) == pytest.approx(np.mean(each, axis=0), rel=1e-12)
    assert numbers.predict(X).shape == (90,)


def test_spread_takes_the_rows_that_predict_takes():
    found = MLPClassifier(**KW, n_ens=3).fit(X, Y)
    each = [MLPClassifier(**{**KW, "random_state": 7 + i}).fit(X, Y).predict_proba(X) for i in range(3)]
    assert found.spread(X) == pytest.approx(np.std(each, axis=0), abs=1e-6)
    for y in (T, np.column_stack([T, 100.0 * X[:, 2]])):
        numbers = MLPRegressor(**KW, n_ens=2).fit(X, y)
        each = [MLPRegressor(**{**KW, "random_state": 7 + i}).fit(X, y).predict(X) for i in range(2)]
        assert numbers.spread(X).shape == y.shape
        assert numbers.spread(X) == pytest.approx(np.std(each, axis=0), rel=1e-3, abs=1e-4)
    labels = np.column_stack([Y > 0, Y > 1]).astype(int)
    found = MLPClassifier(**KW, n_ens=2).fit(X, labels)
    each = [MLPClassifier(**{**KW, "random_state": 7 + i}).fit(X, labels).predict_proba(X) for i in range(2)]
    assert found.spread(X) == pytest.approx(np.std(each, axis=0), abs=1e-6)


def test_one_network_has_no_spread():
    with pytest.raises(AttributeError) as info:
        MLPRegressor(**KW).fit(X, T).spread(X)
    must = "`spread` is that of several networks, of `n_ens=` or `n_cv=`, and there is one"
    assert str(info.value.__cause__) == must
    with pytest.raises(NotFittedError):
        MLPRegressor(**KW, n_ens=2).spread(X)


def test_probabilities_of_labels_are_means_too():
    labels = np.column_stack([Y > 0, Y > 1]).astype(int)
    found = MLPClassifier(**KW, n_ens=2, n_cv=2).fit(X, labels)
    each = found.ensemble_.predict_members(matrix_of(X)).astype(np.float64)
    assert found.predict_proba(X) == pytest.approx((1.0 / (1.0 + np.exp(-each))).mean(axis=0), abs=1e-12)
    assert found.oof_predictions_.shape == (90, 2)


def test_one_network_is_what_it_was():
    found = MLPClassifier(**KW).fit(X, Y)
    assert found.networks_ == [found.network_]
    assert not hasattr(found, "ensemble_")
    assert not hasattr(found, "oof_predictions_")
    several = MLPClassifier(**KW, n_ens=2).fit(X, Y)
    assert not hasattr(several, "network_")
    with pytest.raises(AttributeError) as info:
        _ = several.coefs_
    assert str(info.value) == "there are 2 networks, so `networks_[i].parameters` has their parameters"
    assert not hasattr(several.set_params(n_ens=1).fit(X, Y), "ensemble_")


def folds_of(n, seed=7, classes=Y):
    found = [split(90, seed, 0.0, 0.0, classes=classes, folds=n, fold=i) for i in range(n)]
    return [(part["train"], part["validation"]) for part in found]


@pytest.mark.parametrize("weight", [None, W], ids=["plain", "weighted"])
def test_each_row_is_predicted_by_trainers_that_did_not_see_it(weight):
    found = MLPClassifier(**KW, n_cv=3, n_ens=2).fit(X, Y, weight)
    trainers = alone(found)
    assert [trainer.net.seed for trainer in trainers] == [7, 8, 9, 10, 11, 12]
    rows, expected = matrix_of(X), np.zeros((90, 3))
    for k, (others, fold) in enumerate(folds_of(3)):
        for trainer in trainers[2 * k : 2 * k + 2]:
            trainer.fit(rows[others], Y[others], 6, sample_weight=None if weight is None else weight[others])
            expected[fold] += softmax(trainer.net.predict(rows[fold])) / 2
    assert bits(found.networks_) == bits(trainer.net for trainer in trainers)
    assert found.oof_predictions_ == pytest.approx(expected, abs=1e-12)
    shares = [np.bincount(Y[fold], minlength=3) for _, fold in folds_of(3)]
    assert np.ptp(shares, axis=0).max() <= 1  # of each class


def test_folds_decide_when_their_members_stop():
    found = MLPClassifier(**{**KW, "epochs": 300, "learning_rate": 0.3}, n_cv=3, early_stopping=True, patience=2)
    found.fit(X, Y, W)
    rows, least, epochs = matrix_of(X), [], []
    for i, (others, fold) in enumerate(folds_of(3)):
        trainer = fb.Trainer(fb.mlp([4, 8, 3], seed=7 + i), optimizer=fb.AdamW(lr=0.3), batch_size=16)
        stop = fb.EarlyStopping(2)
        held_out = (rows[fold], Y[fold], W[fold])
        history = trainer.fit(rows[others], Y[others], 300, held_out, [stop], W[others], ["accuracy"])
        assert trainer.net.flat.tobytes() == found.networks_[i].flat.tobytes()
        least.append(min(history.val_loss))
        epochs.append(history)
    assert found.best_loss_ == np.mean(least)
    assert found.n_iter_ == max(len(one.loss) for one in epochs) < 300
    assert found.validation_scores_[0] == np.mean([one.val_accuracy[0] for one in epochs])
    assert found.best_validation_score_ == np.mean([max(one.val_accuracy) for one in epochs])
    last = [one.val_loss[-1] for one in epochs if len(one.loss) == found.n_iter_]
    assert found.validation_loss_curve_[-1] == np.mean(last)


def test_scores_of_folds_are_of_their_own_rows():
    found = MLPRegressor(**{**KW, "epochs": 1}, n_cv=3, early_stopping=True).fit(X, T)
    scores = []
    for part in (split(90, 7, 0.0, 0.0, folds=3, fold=i)["validation"] for i in range(3)):
        true, said = T[part], found.oof_predictions_[part]
        scores.append(1.0 - ((true - said) ** 2).sum() / ((true - true.mean()) ** 2).sum())
    assert found.best_validation_score_ == pytest.approx(np.mean(scores), rel=1e-6)


@MAKERS
def test_all_members_stop_by_the_rows_that_are_given(made, y):
    settings = {**KW, "epochs": 100, "learning_rate": 0.3, "patience": 2}
    given = {"X_val": X[60:], "y_val": y[60:]}
    found = made(**settings, n_ens=2).fit(X[:60], y[:60], **given)
    each = [made(**{**settings, "random_state": 7 + i}).fit(X[:60], y[:60], **given) for i in range(2)]
    assert bits(found.networks_) == bits(one.network_ for one in each)
    assert found.best_loss_ == np.mean([one.best_loss_ for one in each])
    assert found.best_validation_score_ == np.mean([one.best_validation_score_ for one in each])


def test_rows_that_are_held_out_are_the_same_for_all_members():
    found = MLPRegressor(**KW, n_ens=2, early_stopping=True).fit(X, T)
    part = split(90, 7, 0.1, 0.0)
    inside, outside = part["train"], part["validation"]
    other = MLPRegressor(**{**KW, "random_state": 8})
    other.fit(X[inside], T[inside], X_val=X[outside], y_val=T[outside])
    assert found.networks_[1].flat.tobytes() == other.network_.flat.tobytes()


def test_classes_are_balanced_among_the_rows_of_each_fold():
    found = MLPClassifier(**KW, n_cv=3, class_weight="balanced").fit(X, Y, W)
    others, _ = folds_of(3)[1]
    sums = np.bincount(Y[others], W[others])
    weight = W[others] * (W[others].sum() / (3 * sums))[Y[others]]
    trainer = alone(found)[1]
    trainer.fit(matrix_of(X)[others], Y[others], 6, sample_weight=weight)
    assert found.networks_[1].flat.tobytes() == trainer.net.flat.tobytes()


@pytest.mark.parametrize("rows", [90, 30], ids=["batches", "a set"])
def test_rows_of_weight_0_are_predicted_by_all_members(rows):
    some, weight = X[:rows], W[:rows] * (np.arange(rows) % 4 > 0)
    found = MLPRegressor(**{**KW, "batch_size": 32}, n_cv=3).fit(some, T[:rows], weight)
    out = weight == 0.0
    assert found.oof_predictions_[out].tobytes() == found.predict(some)[out].tobytes()
    without = MLPRegressor(**{**KW, "batch_size": 32}, n_cv=3).fit(some[~out], T[:rows][~out], weight[~out])
    assert found.oof_predictions_[~out].tobytes() == without.oof_predictions_.tobytes()


def test_equal_rows_of_one_batch_are_in_one_fold():
    settings = {**KW, "batch_size": 64}
    repeated = MLPRegressor(**settings, n_cv=3).fit(X[:12].repeat(3, axis=0), T[:12].repeat(3))
    weighted = MLPRegressor(**settings, n_cv=3).fit(X[:12], T[:12], np.full(12, 3.0))
    assert bits(repeated.networks_) == bits(weighted.networks_)
    assert repeated.oof_predictions_.tobytes() == weighted.oof_predictions_.repeat(3).tobytes()
    assert len(MLPRegressor(**settings, n_cv=3).fit([[1.0], [2.0]] * 4, [1.0, 2.0] * 4).networks_) == 2


def test_predictions_of_folds_are_in_the_order_of_x_and_tell_what_a_model_is_worth():
    found = MLPRegressor(**{**KW, "epochs": 150}, n_cv=5).fit(X, T)
    assert found.score(X, T) > 0.97
    assert 0.85 < 1.0 - np.square(T - found.oof_predictions_).sum() / np.square(T - T.mean()).sum() < 0.99
    noise = np.random.default_rng(0).permutation(
        T
    )  # nothing can be learned of it, so who has seen it knows more than who has not
    found = MLPRegressor(**{**KW, "epochs": 150}, n_cv=5).fit(X, noise)
    assert found.score(X, noise) > 0.2
    assert np.square(noise - found.oof_predictions_).mean() > np.var(noise)
    two = MLPRegressor(**KW, n_cv=2).fit(X, np.column_stack([T, -T]))
    assert two.oof_predictions_.shape == two.predict(X).shape == (90, 2)


@MAKERS
def test_training_goes_on_as_it_does_alone(made, y):
    found = made(**KW, n_ens=2, warm_start=True).fit(X, y)
    before = bits(found.networks_)
    kept = found.ensemble_
    found = pickle.loads(pickle.dumps(found)).set_params(learning_rate=1e-3, n_threads=1).fit(X, y)
    each = [made(**{**KW, "random_state": 7 + i}, warm_start=True).fit(X, y) for i in range(2)]
    assert before == bits(one.network_ for one in each) == bits(kept.members)
    each = [one.set_params(learning_rate=1e-3).fit(X, y) for one in each]
    assert bits(found.networks_) == bits(one.network_ for one in each)
    assert (found.n_iter_, found.t_) == (12, 2 * 1080)
    assert found._learns.threads == 1


def test_parts_train_all_members():
    found, each = MLPClassifier(**KW, n_ens=2), [MLPClassifier(**{**KW, "random_state": 7 + i}) for i in range(2)]
    for _ in range(3):
        for one in (found, *each):
            one.partial_fit(X, Y, classes=[0, 1, 2])
    assert bits(found.networks_) == bits(one.network_ for one in each)
    assert found.n_iter_ == 3


def test_no_bit_depends_on_the_threads():
    one, two = (MLPClassifier(**KW, n_ens=3, n_cv=2, n_threads=n).fit(X, Y) for n in (1, 2))
    assert bits(one.networks_) == bits(two.networks_)
    assert one.oof_predictions_.tobytes() == two.oof_predictions_.tobytes()


def test_a_file_has_all_networks_and_predicts_tables(tmp_path):
    pl = pytest.importorskip("polars")
    table = pl.DataFrame({"city": np.array(["Oslo", "Rome"])[Y % 2].tolist(), "a": X[:, 0]})
    found = MLPRegressor(**KW, n_ens=2, n_cv=2).fit(table, pl.Series("rent", T))
    found.save(tmp_path / "rent.safetensors")
    read = fb.load(tmp_path / "rent.safetensors")
    assert bits(read.members) == bits(found.networks_)
    assert read.predict(table)["rent"] == pytest.approx(found.predict(table), rel=1e-6)
    table.write_csv(tmp_path / "new.csv")
    told = [sys.executable, "-m", "fastbp", "predict", "rent.safetensors", "new.csv"]
    place = {**os.environ, "PYTHONPATH": str(Path(fb.__file__).parents[1])}
    done = subprocess.run(told, cwd=tmp_path, env=place, capture_output=True, text=True, check=True)
    name, *numbers = done.stdout.split()
    assert name == "rent"
    assert np.array(numbers, float) == pytest.approx(found.predict(table), rel=1e-6)


def test_columns_of_many_categories_are_read_by_all_members():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame({"id": [f"{i % 60}" for i in range(400)], "a": np.linspace(-1.0, 1.0, 400)})
    y = np.arange(400) % 60 < 20
    with pytest.warns(fb.errors.DataWarning, match="one-hot columns"):
        found = MLPClassifier(**{**KW, "epochs": 20}, n_cv=2, early_stopping=True).fit(table, y)
    assert (found.oof_predictions_.argmax(axis=1) == y).mean() > 0.95


class Noted(fb.Callback):
    """Counts epochs, and says how many at the end."""

    said: ClassVar[list] = []

    def begin(self, trainer, history):
        self.epochs = 0

    def epoch(self, trainer, history):
        self.epochs += 1

    def end(self, trainer, history):
        self.said.append((trainer.seed, self.epochs))


def test_callbacks_are_copied_for_each_member_and_functions_are_called_for_each():
    noted, seen = Noted(), []
    MLPClassifier(**KW, n_ens=2, callbacks=[noted, lambda trainer, history: seen.append(trainer.seed)]).fit(X, Y)
    assert sorted(noted.said) == [(7, 6), (8, 6)]
    assert not hasattr(noted, "epochs")
    assert sorted(seen) == [7] * 6 + [8] * 6


def test_a_callback_lowers_the_rate_of_one_member_as_it_does_alone():
    plateau = fb.ReduceLROnPlateau(patience=1, factor=0.5, monitor="val_accuracy")
    settings = {**KW, "epochs": 30, "early_stopping": True, "callbacks": [plateau]}
    found = MLPClassifier(**settings, n_ens=2).fit(X, Y)
    first = MLPClassifier(**settings).fit(X, Y)
    assert found.networks_[0].flat.tobytes() == first.network_.flat.tobytes()
    rates = [optimizer.lr for optimizer in found._learns.optimizers]
    assert rates[0] == first._learns.optimizer.lr < 1e-2


def test_a_callback_that_trains_its_trainer_is_refused():
    def train(trainer, history):
        trainer.run(matrix_of(X), Y, 1)

    with pytest.raises(fb.ConfigError) as info:
        MLPClassifier(**KW, n_ens=2, callbacks=[train]).fit(X, Y)
    assert str(info.value) == "`callbacks` must not train the trainer that they get where there are several networks"


class Enough(fb.Callback):
    """Stops within the first epoch."""

    def chunk(self, trainer, history):
        history.stopped = "enough"


@pytest.mark.parametrize("given", [{"callbacks": [Enough()]}, {"time_limit": 1e-9}], ids=["a callback", "a limit"])
def test_what_stops_within_an_epoch_ends_all_members_there(given):
    rows = np.tile(X, (1000, 1))
    found = MLPRegressor(**{**KW, "epochs": 9, "hidden": (64, 64)}, n_ens=4, early_stopping=False, **given)
    found.fit(rows, np.tile(T, 1000))
    assert found.n_iter_ == 1
    assert 0 < found.t_ < 4 * len(rows)


def test_verbose_prints_a_line_for_each_member(capsys):
    MLPClassifier(**KW, n_ens=2, n_cv=2, verbose=True, early_stopping=True).fit(X, Y)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line.split("  ")[:2] for line in lines] == [[f"network {i}/4", "epoch 6/6"] for i in (1, 2, 3, 4)]
    assert [word.split()[0] for word in lines[0].split("  ")[2:]] == ["loss", "val_loss", "val_accuracy"]


def test_a_member_that_diverges_is_the_error_that_it_is_alone():
    settings = {**KW, "optimizer": "sgd", "learning_rate": 1e30, "scale": "none"}
    messages = []
    for given in ({}, {"n_ens": 2}):
        with pytest.raises(fb.DivergedError) as info:
            MLPRegressor(**settings, **given).fit(X, T)
        messages.append(str(info.value))
    assert messages[1] == f"networks_[0]: {messages[0]}"


def test_clones_start_anew_and_copies_predict_the_same():
    found = MLPClassifier(**KW, n_ens=2, n_cv=2).fit(X, Y)
    other = pickle.loads(pickle.dumps(found))
    assert other.predict_proba(X).tobytes() == found.predict_proba(X).tobytes()
    fresh = clone(found)
    for use in (fresh.predict, lambda X: fresh.networks_, lambda X: fresh.save("never")):
        with pytest.raises(NotFittedError):
            use(X)
    assert fresh.fit(X, Y).oof_predictions_.tobytes() == found.oof_predictions_.tobytes()


def test_a_class_of_one_row_is_predicted_by_members_that_do_not_know_it():
    y = np.where(np.arange(90) == 3, 5, Y)
    found = MLPClassifier(**KW, n_cv=3).fit(X, y)
    assert found.classes_.tolist() == [0, 1, 2, 5]
    assert found.oof_predictions_.shape == (90, 4)


MISTAKES = [
    (lambda c: c.set_params(n_ens=0).fit(X, Y), "`n_ens` must be at least 1, got `0`"),
    (lambda c: c.set_params(n_ens=1.5).fit(X, Y), "`n_ens` must be a whole number, got `1.5`"),
    (lambda c: c.set_params(n_cv=1).fit(X, Y), "`n_cv` must be at least 2, got `1`"),
    (lambda c: c.set_params(n_cv=True).fit(X, Y), "`n_cv` must be a whole number, got `True`"),
    (lambda c: c.set_params(n_cv=91).fit(X, Y), "`n_cv` must be at most 90, the rows to train on, got `91`"),
    (
        lambda c: c.set_params(n_cv=90).fit(X, Y, np.arange(90.0)),
        "`n_cv` must be at most 89, the rows to train on, got `90`",
    ),
    (
        lambda c: c.set_params(n_cv=2, warm_start=True).fit(X, Y),
        "`warm_start` must be False where `n_cv` is given, got `True`",
    ),
    (
        lambda c: c.set_params(n_cv=2).fit(X, Y, X_val=X, y_val=Y),
        "`n_cv` must be None where `X_val` is given, got `2`",
    ),
    (
        lambda c: c.set_params(n_cv=2).partial_fit(X, Y, classes=[0, 1, 2]),
        "`partial_fit` is not there with `n_cv`, as folds are of all rows",
    ),
    (
        lambda c: c.set_params(warm_start=True).fit(X, Y).set_params(n_ens=2).fit(X, Y),
        "`n_ens` must stay `1` where training goes on, got `2`\nhint: `sklearn.clone` of it starts anew",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_said_before_anything_is_fitted(mistake, message):
    with pytest.raises((ValueError, TypeError, AttributeError)) as info:
        mistake(MLPClassifier(**KW))
    said = info.value.__cause__ if type(info.value) is AttributeError else info.value
    assert str(said) == message


@pytest.mark.parametrize(("word", "name"), [("n_estimators", "n_ens"), ("cv", "n_cv")])
def test_what_scikit_learn_calls_them_is_a_hint(word, name):
    with pytest.raises(TypeError, match=f"hint: here this is `{name}=`"):
        MLPClassifier(**{word: 3})
