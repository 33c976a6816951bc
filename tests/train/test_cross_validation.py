"""Cross-validation is a fit for each fold, measured on the fold."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.numerics.splits import split

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4)).astype("f4")
Y = np.repeat([0, 1, 2], [60, 24, 6])
T = X @ RNG.standard_normal((4, 1))
W = RNG.uniform(0.5, 2.0, 90)


def make(loss="cross_entropy", outputs=3):
    net = fb.Network([fb.Linear(8), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.1), fb.Linear(outputs)], 4, seed=1)
    return fb.Trainer(net, loss=loss, batch_size=16, optimizer=fb.Adam(lr=1e-2))


@pytest.mark.parametrize("given", ["trainer", "function"])
def test_each_fold_is_measured_by_a_trainer_of_the_other_rows(given):
    template = make()
    before = template.net.flat
    found = fb.cross_validate(
        template if given == "trainer" else make,
        X, Y, folds=3, seed=4, epochs=4, metrics=["accuracy"], sample_weight=W,
    )  # fmt: skip
    assert np.array_equal(template.net.flat, before)
    for i in range(3):
        part = split(90, 4, 0.0, 0.0, classes=Y, folds=3, fold=i)
        train, fold = part["train"], part["validation"]
        trainer = make()
        held_out = (X[fold], Y[fold], W[fold])
        history = trainer.fit(X[train], Y[train], 4, held_out, sample_weight=W[train], metrics=["accuracy"])
        assert np.array_equal(found.rows[i], fold)
        assert found["val_loss"][i] == history.val_loss[-1]
        assert found["val_accuracy"][i] == history.val_accuracy[-1]
        assert found.histories[i].loss == history.loss
        assert np.array_equal(found.trainers[i].net.flat, trainer.net.flat)


def test_mean_and_spread_are_of_the_folds():
    found = fb.cross_validate(lambda: make("mse", 1), X, T, folds=4, epochs=2, metrics=["r2"])
    values = np.array(found["val_r2"])
    assert found.mean["val_r2"] == pytest.approx(values.sum() / 4, rel=1e-14)
    assert found.spread["val_r2"] == pytest.approx(np.sqrt(((values - values.mean()) ** 2).sum() / 3), rel=1e-14)
    assert [*found.mean] == [*found.spread] == found.keys() == ["val_loss", "val_r2"]
    assert [row["val_r2"] for row in found] == found["val_r2"]
    assert [row["fold"] for row in found] == [1, 2, 3, 4]
    mean, spread = found.mean, found.spread
    said = [f"{n}={mean[n]:.4g} ± {spread[n]:.2g}" for n in ("val_loss", "val_r2")]
    assert repr(found) == f"CrossValidation(folds=4, {said[0]}, {said[1]})"


def test_scores_are_those_of_the_parameters_that_callbacks_leave():
    early = fb.EarlyStopping(patience=1, monitor="val_accuracy", min_delta=1.0)
    found = fb.cross_validate(make, X, Y, folds=2, epochs=9, metrics=["accuracy"], callbacks=[early])
    assert early.best is None  # each fold has a callback of its own
    for history, score in zip(found.histories, found["val_accuracy"], strict=True):
        assert len(history.loss) == 2
        assert score == history.val_accuracy[0]


def test_an_average_is_what_is_measured():
    found = fb.cross_validate(lambda: fb.Trainer(fb.mlp([4, 3]), ema=0.99), X, Y, folds=2, epochs=2)
    assert found["val_loss"] == [history.val_loss[-1] for history in found.histories]


def test_lbfgs_is_validated_too():
    pytest.importorskip("scipy")
    found = fb.cross_validate(fb.LBFGS(fb.mlp([4, 3, 1], "tanh"), loss="mse"), X, T, folds=2, epochs=3)
    assert found["val_loss"] == [history.val_loss[-1] for history in found.histories]


BAD = {
    "a-class": (
        {"folds": 7}, ConfigError,
        "`folds` must be such that each fold has every class, but class `2` has 6 rows, got `7`",
    ),
    "one": ({"folds": 1}, ConfigError, "`folds` must be at least 2, got `1`"),
    "rows": (
        {"y": T, "trainer": lambda: make("mse", 1), "folds": 91}, ConfigError,
        "`folds` must be at most 90, the number of rows, got `91`",
    ),
    "no-trainer": ({"trainer": 3}, ConfigTypeError, "`trainer` must be a trainer or a function of nothing that makes one, got `3`"),  # noqa: E501
    "no-result": (
        {"trainer": lambda: None}, ConfigTypeError,
        "`trainer` must be a trainer or a function of nothing that makes one, got `None` from the function",
    ),
    "callbacks": ({"callbacks": 3}, ConfigTypeError, "`callbacks` must be a list of callbacks, got `3`"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_validated_is_refused_before_anything_is_trained(case):
    words, kind, message = BAD[case]
    settings = {"trainer": make, "y": Y, **words}
    with pytest.raises(kind) as info:
        fb.cross_validate(settings.pop("trainer"), X, settings.pop("y"), **settings)
    assert str(info.value) == message
