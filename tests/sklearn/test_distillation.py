"""Distillation: what is trained on is what teachers say of rows that they were not fitted to."""

import copy

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

import fastbp as fb
from fastbp.numerics.splits import split
from fastbp.sklearn import MLPClassifier, MLPRegressor

pl = pytest.importorskip("polars")

RNG = np.random.default_rng(0)
N = 240
X = RNG.normal(size=(N, 4))
NAMES = np.array(["high", "low", "middle"])
Y = NAMES[np.digitize(X[:, 0] + 0.5 * X[:, 1] ** 2 + 0.3 * RNG.normal(size=N), [0.0, 1.0])]
NUMBERS = X[:, 0] + X[:, 1] ** 2 + 0.2 * RNG.normal(size=N)
KW = {"hidden": (24,), "epochs": 30, "random_state": 0, "learning_rate": 1e-2}


def forest(**more):
    return RandomForestClassifier(n_estimators=20, random_state=0, **more)


def out_of_fold(teacher, X, y, folds, seed=0, groups=None, weight=None):
    """The labels, by copies that are fitted here."""
    classes = np.unique(y) if y.dtype.kind in "UO" else None
    out = np.zeros((N, len(classes))) if classes is not None else np.zeros(N)
    for k in range(folds):
        parts = split(N, seed, 0.0, 0.0, classes=y if classes is not None else None, groups=groups, folds=folds, fold=k)
        rows, fold = parts["train"], parts["validation"]
        more = {} if weight is None else {"sample_weight": weight[rows]}
        made = clone(teacher).fit(X[rows], y[rows], **more)
        out[fold] = made.predict(X[fold]) if classes is None else made.predict_proba(X[fold])
    return out


def test_each_row_is_labelled_by_a_teacher_that_did_not_see_it():
    found = fb.distill(forest(), X, Y, MLPClassifier(**KW), folds=4)
    must = out_of_fold(forest(), X, Y, 4)
    np.testing.assert_allclose(found.teacher_predictions_, must, atol=1e-12)
    assert found.classes_.tolist() == ["high", "low", "middle"]
    seen = forest().fit(X, Y).predict_proba(X)
    assert log_loss(Y, seen) < 0.5 * log_loss(Y, must)  # which is why


def test_folds_have_the_same_shares_of_each_class():
    for k in range(4):
        fold = split(N, 0, 0.0, 0.0, classes=Y, folds=4, fold=k)["validation"]
        for name in NAMES:
            assert abs((Y[fold] == name).sum() - (name == Y).sum() / 4) <= 1


def test_the_student_has_the_bits_of_a_trainer_on_these_labels():
    found = fb.distill(forest(), X, Y, MLPClassifier(**KW), hard=0.25)
    soft = 0.75 * out_of_fold(forest(), X, Y, 5) + 0.25 * (Y[:, None] == np.unique(Y))
    rows = found.recipe_.matrix(found._rows_to_explain(X), np.float32)
    net = fb.mlp([4, 24, 3], seed=0)
    trainer = fb.Trainer(net, "cross_entropy", fb.AdamW(lr=1e-2), batch_size=32)
    trainer.fit(rows, soft, epochs=30)
    assert net.flat.tobytes() == found.network_.flat.tobytes()
    assert not hasattr(found, "_soft")


def test_it_says_what_its_teacher_says_better_than_one_that_is_trained_on_classes():
    teacher = forest().fit(X, Y)
    new = RNG.normal(size=(500, 4))
    student, plain = fb.distill(forest(), X, Y, MLPClassifier(**KW)), MLPClassifier(**KW).fit(X, Y)
    p = teacher.predict_proba(new)
    apart = [float(np.abs(model.predict_proba(new) - p).mean()) for model in (student, plain)]
    assert apart[0] < 0.95 * apart[1]


def test_several_teachers_are_averaged():
    teachers = [forest(), ExtraTreesClassifier(n_estimators=20, random_state=0)]
    found = fb.distill(teachers, X, Y, MLPClassifier(**KW), seed=3)
    must = np.mean([out_of_fold(one, X, Y, 5, seed=3) for one in teachers], axis=0)
    np.testing.assert_allclose(found.teacher_predictions_, must, atol=1e-12)


def test_numbers_are_distilled_by_a_regressor():
    teacher = RandomForestRegressor(n_estimators=20, random_state=0)
    found = fb.distill(teacher, X, NUMBERS, MLPRegressor(**KW), folds=3, hard=0.5)
    must = out_of_fold(teacher, X, NUMBERS, 3)
    np.testing.assert_allclose(found.teacher_predictions_, must, atol=1e-12)
    alone = MLPRegressor(**KW).fit(X, 0.5 * must + 0.5 * NUMBERS)
    assert alone.network_.flat.tobytes() == found.network_.flat.tobytes()
    wide = fb.distill(teacher, X, np.column_stack([NUMBERS, X[:, 0]]), MLPRegressor(**KW), folds=3)
    assert wide.predict(X).shape == wide.teacher_predictions_.shape == (N, 2)


def test_groups_stay_together_and_weights_go_to_teacher_and_student():
    groups, weight = np.arange(N) // 6, RNG.random(N) + 0.1
    weight[5] = 0.0
    found = fb.distill(forest(), X, Y, MLPClassifier(**KW), groups=groups, sample_weight=weight)
    must = out_of_fold(forest(), X, Y, 5, groups=groups, weight=weight)
    np.testing.assert_allclose(found.teacher_predictions_, must, atol=1e-12)
    there = np.flatnonzero(weight)
    again = MLPClassifier(**KW)._fit_soft(X[there], Y[there], np.unique(Y), must[there], weight[there])
    assert again.network_.flat.tobytes() == found.network_.flat.tobytes()
    other = MLPClassifier(**KW)._fit_soft(X, Y, np.unique(Y), must, None)
    assert other.network_.flat.tobytes() != found.network_.flat.tobytes()


def test_a_class_that_a_fold_leaves_no_row_of_has_probability_0_there():
    y = np.array(["a"] * (N - 1) + ["b"])
    found = fb.distill(forest(), X, y, MLPClassifier(**KW), folds=3)
    assert found.teacher_predictions_[-1].tolist() == [1.0, 0.0]


def test_a_teacher_without_probabilities_says_one_class():
    found = fb.distill(LinearSVC(random_state=0), X, Y, MLPClassifier(**KW))
    assert set(np.unique(found.teacher_predictions_)) == {0.0, 1.0}
    assert found.score(X, Y) > 0.6


def test_tables_with_categories_and_missing_values_go_to_both():
    class ByCity(ClassifierMixin, BaseEstimator):
        """Says how often each class is in a city."""

        def fit(self, table, y):
            assert isinstance(table, pl.DataFrame)
            self.classes_ = np.unique(y)
            city = np.array(table["city"].to_list())
            self.shares_ = {c: [(y[city == c] == k).mean() for k in self.classes_] for c in set(city.tolist())}
            return self

        def predict(self, table):
            return self.classes_[self.predict_proba(table).argmax(axis=1)]

        def predict_proba(self, table):
            return np.array([self.shares_[c] for c in table["city"].to_list()])

    city = np.array(["Oslo", "Rome", "Bern"])[RNG.integers(3, size=N)]
    age = np.where(RNG.random(N) < 0.2, np.nan, X[:, 0])
    table = pl.DataFrame({"city": city.tolist(), "age": age})
    y = pl.Series("answer", np.where((city == "Rome") ^ (RNG.random(N) < 0.1), "yes", "no"))
    found = fb.distill(ByCity(), table, y, MLPClassifier(**KW))
    said = found.predict_proba(table)[:, 1]
    assert np.ptp(said[city == "Rome"]) < 0.25
    assert said[city == "Rome"].min() > 0.75
    assert said[city == "Oslo"].max() < 0.25
    assert found.recipe_.outputs.columns == ["answer"]


def test_fitted_teachers_label_new_rows_without_folds():
    teacher = forest().fit(X[:120], Y[:120])
    found = fb.distill(teacher, X[120:], student=MLPClassifier(**KW), folds=None)
    np.testing.assert_allclose(found.teacher_predictions_, teacher.predict_proba(X[120:]), atol=1e-12)
    assert found.classes_.tolist() == teacher.classes_.tolist()
    numbers = fb.distill(
        RandomForestRegressor(random_state=0).fit(X, NUMBERS), X, folds=None, student=MLPRegressor(**KW)
    )
    assert numbers.score(X, NUMBERS) > 0.7


@pytest.mark.parametrize(
    "more", [{"n_ens": 2}, {"n_cv": 2}, {"early_stopping": True}, {"batch_size": 500}, {"class_weight": "balanced"}]
)
def test_every_way_of_training_takes_soft_labels(more):
    student = MLPClassifier(**{**KW, **more})
    found = fb.distill(forest(), X, Y, student)
    assert found.score(X, Y) > 0.7
    assert not hasattr(student, "classes_")
    assert copy.deepcopy(found).predict(X).tolist() == found.predict(X).tolist()


def test_equal_rows_with_other_labels_are_no_set():
    rows, soft = np.repeat([[0.0], [1.0]], 4, axis=0), np.tile([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], (2, 1))
    said = MLPClassifier(hidden=(), epochs=400, learning_rate=0.05, random_state=0)._fit_soft(
        rows, np.repeat([0, 1], 4), np.array([0, 1]), soft, None
    )
    assert said.predict_proba([[0.0], [1.0]])[:, 0] == pytest.approx(0.6, abs=0.01)


def test_the_default_student_has_the_seed_and_two_hidden_layers():
    teacher = LogisticRegression().fit(X, Y)
    found = fb.distill(teacher, X, Y, folds=None, seed=5)
    assert (found.hidden, found.random_state) == ((256, 256), 5)
    assert fb.distill(teacher, X, Y, MLPClassifier(epochs=1), folds=None, seed=5).random_state == 5
    assert fb.distill(teacher, X, Y, MLPClassifier(epochs=1, random_state=2), folds=None, seed=5).random_state == 2


def test_boosted_trees_are_distilled():
    lightgbm = pytest.importorskip("lightgbm")
    found = fb.distill(lightgbm.LGBMClassifier(n_estimators=30, verbose=-1), X, Y, MLPClassifier(**KW))
    assert found.score(X, Y) > 0.75
    F, f = make_friedman1(400, random_state=0)
    student = fb.distill(lightgbm.LGBMRegressor(n_estimators=60, verbose=-1), F, f, MLPRegressor(**KW))
    assert student.score(*make_friedman1(400, random_state=1)) > 0.7


class Wrong(ClassifierMixin, BaseEstimator):
    """Says what is no probability."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[np.zeros(len(X), int)]

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 0.9)


class Lost(RegressorMixin, BaseEstimator):
    """Predicts nothing."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fb.distill(3, X, Y), "`teacher` must be an estimator with `fit` and `predict`, got `3`"),
        (lambda: fb.distill([], X, Y), "`teacher` must have at least one estimator, got none"),
        (lambda: fb.distill([forest(), RandomForestRegressor()], X, Y),
         "`teacher` must all tell classes apart, or all predict numbers, got both"),
        (lambda: fb.distill(forest(), X, Y, MLPRegressor()),
         "`student` must be an `MLPClassifier`, as the teacher tells classes apart, got `MLPRegressor`"),
        (lambda: fb.distill(RandomForestRegressor(), X, NUMBERS, MLPClassifier()),
         "`student` must be an `MLPRegressor`, as the teacher predicts numbers, got `MLPClassifier`"),
        (lambda: fb.distill(forest(), X), "`y` must be given where teachers are fitted on `folds`, got `None`"),
        (lambda: fb.distill(forest(), X, Y[:9]), "`y` must have the 240 rows of X, got `9`"),
        (lambda: fb.distill(forest(), X, Y, folds=1), "`folds` must be at least 2, got `1`"),
        (lambda: fb.distill(forest(), X, Y, folds=241), "`folds` must be at most 240, the number of rows, got `241`"),
        (lambda: fb.distill(forest(), X, Y, groups=np.zeros(N)),
         "`folds` must be at most 1, the number of groups, got `5`"),
        (lambda: fb.distill(forest(), X, Y, folds=None, groups=Y),
         "`groups` must be None where `folds` is None"),
        (lambda: fb.distill(forest(), X, Y, groups=[1]), "`groups` must have shape `(240,)`, got `(1,)`"),
        (lambda: fb.distill(forest(), X, Y, folds=None),
         "`teacher` must be fitted where `folds` is None, got `RandomForestClassifier`, which is not\n"
         "hint: `folds=5` has it fitted to the rows of other folds"),
        (lambda: fb.distill(forest().fit(X, Y), X, folds=None, hard=0.5),
         "`hard` must be 0 where there is no `y`, got `0.5`"),
        (lambda: fb.distill(forest(), X, Y, hard=1.5), "`hard` must be at least 0 and at most 1, got `1.5`"),
        (lambda: fb.distill(KNeighborsClassifier(), X, Y, sample_weight=np.ones(N)),
         "`sample_weight` must be left out with a teacher whose `fit` does not take it, got `KNeighborsClassifier`"),
        (lambda: fb.distill(forest(), X, Y, sample_weight=[1.0]),
         "`sample_weight` must have shape `(240,)`, got `(1,)`"),
        (lambda: fb.distill(forest(), X, np.column_stack([Y == "low", Y == "high"]).astype(int)),
         "`y` must be one class a row to be distilled, got shape `(240, 2)`"),
        (lambda: fb.distill(Wrong(), X, Y),
         "`teacher` must predict probabilities whose sum is 1, got others of `Wrong`"),
        (lambda: fb.distill(Lost(), X, NUMBERS),
         "`teacher` must predict finite numbers for each of 48 rows, got others of `Lost`"),
        (lambda: fb.distill(forest().fit(X, Y), X[:9], np.array(["low"] * 9), folds=None),
         "`teacher` must know no classes but those of `y`, got `high`"),
    ],
)  # fmt: skip
def test_what_cannot_be_distilled_is_one_sentence(call, message):
    with pytest.raises(fb.FastbpError) as raised:
        call()
    assert str(raised.value) == message
