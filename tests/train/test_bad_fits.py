"""Data, metrics and callbacks that a fit cannot use: one sentence each, before anything has changed."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError, DataError, DataTypeError, FastbpError, ShapeError

VALIDATION = "`validation` must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2"
X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
Y = np.arange(6) % 3
T = np.full((6, 3), 0.25, np.float32)
LABELS = ["cross_entropy", "multi_margin"]
ALL_METRICS = (
    "`accuracy`, `top_k`, `balanced_accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`, `precision`, `recall`, "
    "`log_loss`, `roc_auc`, `average_precision`, `brier`, `calibration_error`, `calibrated_log_loss`, "
    "`r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance`, `median_error`"
)


def trainer(loss="cross_entropy", layers=None):
    net = fb.Network(layers or [fb.Linear(5), fb.BatchNorm(), fb.ReLU(), fb.Linear(3)], inputs=4, seed=1)
    return fb.Trainer(net, loss=loss, batch_size=4, optimizer=fb.Adam(0.01), ema=0.9)


def targets(training):
    return Y if training._loss.of_labels else T


def state(training):
    net = training.net
    return net.flat.tobytes(), net.states.flat().tobytes(), training.averaged.flat.tobytes(), training.optimizer


def refused(kind, message, loss="cross_entropy", X=X, y=None, how="fit", layers=None, **settings):
    """The sentence, and that nothing has changed: not even the place in a pass that was begun."""
    training, other = (trainer(loss, layers) for _ in range(2))
    good = np.ones((6, 4), np.float32) if layers else globals()["X"]
    for each in (training, other):
        each.run(good, targets(each), 1)
    before = state(training)
    y = targets(training) if y is None else y
    if how == "run":
        settings["steps"] = 1
    with pytest.raises(FastbpError) as info:
        getattr(training, how)(X, y, **settings)
    assert training.steps_done == 1
    assert state(training) == before
    assert training.run(good, targets(training), 4).loss == other.run(good, targets(other), 4).loss
    assert state(training) == state(other)
    if message is not None:
        assert (type(info.value), str(info.value)) == (kind, message)


# What rows count for

WEIGHTS = [
    ([1, 1, -1, 1, 1, 1], DataError, "`sample_weight` must be at least 0, got `-1.0` at `[2]`"),
    ([1.0, 1.0], ShapeError, "`sample_weight` must have shape `(6,)`, one number a row, got `(2,)`"),
    (np.ones((6, 1)), ShapeError, "`sample_weight` must have shape `(6,)`, one number a row, got `(6, 1)`"),
    ([1, np.nan, 1, 1, 1, 1], DataError, "`sample_weight` must be finite, got `nan` at `[1]`"),
    ([1, 1, 1, 1, 1, np.inf], DataError, "`sample_weight` must be finite, got `inf` at `[5]`"),
    (np.zeros(6), DataError, "`sample_weight` must have one above 0, got only zeros"),
    (np.array(["1"] * 6), DataTypeError, "`sample_weight` must be real numbers, got dtype `<U1`"),
]


@pytest.mark.parametrize("how", ["fit", "step", "run"])
@pytest.mark.parametrize(("weights", "kind", "message"), WEIGHTS, ids=[m for _, _, m in WEIGHTS])
def test_weights_of_rows_are_a_number_each(weights, kind, message, how):
    refused(kind, message, how=how, sample_weight=weights)


@pytest.mark.parametrize(("weights", "kind", "message"), WEIGHTS, ids=[m for _, _, m in WEIGHTS])
def test_so_are_those_of_validation_rows(weights, kind, message):
    refused(kind, f"validation: {message}", validation=(X, Y, weights))


# Targets

CLASSES = "must be between 0 and 2, the network's outputs"
TARGETS = [
    ("cross_entropy", Y + 1, DataError, f"`y` {CLASSES}, got `3` at `[2]`"),
    ("multi_margin", Y - 1, DataError, f"`y` {CLASSES}, got `-1` at `[0]`"),
    ("cross_entropy", Y + 0.5, DataError, "`y` must be class numbers, got `0.5` at `[0]`"),
    ("cross_entropy", list("abcabc"), DataTypeError, "`y` must be real numbers, got dtype `<U1`"),
    ("cross_entropy", Y[:5], ShapeError, "`y` must have shape `(6,)`, one class a row, got `(5,)`"),
    (
        "cross_entropy",
        np.full((6, 3), 0.5),
        DataError,
        "`y` must be probabilities that add up to 1, got `[0.5, 0.5, 0.5]` at `[0]`",
    ),
    (
        "cross_entropy",
        np.tile([1.5, -0.5, 0.0], (6, 1)),
        DataError,
        "`y` must be probabilities that add up to 1, got `[1.5, -0.5, 0.0]` at `[0]`",
    ),
    (
        fb.CrossEntropy(ignore_index=-1),
        np.full(6, -1),
        DataError,
        "`y` must have a row that is not `ignore_index`, -1",
    ),
    (fb.CrossEntropy(ignore_index=-1), [-1, 0, 1, 2, 3, 0], DataError, f"`y` {CLASSES}, got `3` at `[4]`"),
    ("binary_cross_entropy", T + 1, DataError, "`y` must be between 0 and 1, got `1.25` at `[0, 0]`"),
    ("binary_cross_entropy", -T, DataError, "`y` must be between 0 and 1, got `-0.25` at `[0, 0]`"),
    ("binary_cross_entropy", Y, ShapeError, "`y` must have shape `(6, 3)`, got `(6,)`"),
    ("poisson", -T, DataError, "`y` must be at least 0, got `-0.25` at `[0, 0]`"),
    ("mse", T * np.nan, DataError, "`y` must be finite, got `nan` at `[0, 0]`"),
    ("huber", T[:, :2], ShapeError, "`y` must have shape `(6, 3)`, got `(6, 2)`"),
]


@pytest.mark.parametrize("how", ["fit", "step", "run"])
@pytest.mark.parametrize(("loss", "y", "kind", "message"), TARGETS, ids=[f"{row[0]}-{row[3]}" for row in TARGETS])
def test_targets_are_what_the_loss_can_use(loss, y, kind, message, how):
    refused(kind, message, loss, y=y, how=how)


@pytest.mark.parametrize("how", ["fit", "step", "run"])
@pytest.mark.parametrize("code", [3.0, -1.0, 0.5])
def test_codes_are_those_of_categories(code, how):
    wrong = np.ones((6, 4), np.float32)
    wrong[4, 1] = code
    message = f"`X` must hold whole codes between 0 and 2 in column 1, got `{code}` at `[4, 1]`"
    refused(DataError, message, X=wrong, how=how, layers=[fb.Embedding({1: (3, 2)}), fb.Linear(3)])


def test_codes_are_so_where_nothing_is_trained_too():
    net = fb.Network([fb.Embedding({1: (3, 2)}), fb.Linear(3)], inputs=4)
    for call in (net.predict, net.jacobian, lambda rows: net.evaluate(rows, Y)):
        with pytest.raises(DataError) as info:
            call(np.full((6, 4), 3.0, np.float32))
        assert str(info.value) == "`X` must hold whole codes between 0 and 2 in column 1, got `3.0` at `[0, 1]`"


# Metrics and validation

FITS = [
    (
        {"metrics": ["accuracy"]},
        ConfigError,
        "`metrics` are taken on validation rows, so `fit` must be given `validation`",
    ),
    ({"metrics": "accuracy"}, ConfigTypeError, "`metrics` must be a list of names, got `'accuracy'`"),
    ({"metrics": None}, ConfigTypeError, "`metrics` must be a list of names, got `None`"),
    ({"metrics": [3]}, ConfigTypeError, "`metric` must be the name of a metric, got `3`"),
    ({"metrics": ["xyzzy"]}, ConfigError, f"`metric` must be one of {ALL_METRICS}, got `xyzzy`"),
    (
        {"metrics": ["val_accuracy"]},
        ConfigError,
        f"`metric` must be one of {ALL_METRICS}, got `val_accuracy`\nhint: did you mean `accuracy`?",
    ),
    (
        {"validation": (X,)},
        ConfigTypeError,
        f"{VALIDATION}, got `tuple` of 1",
    ),
    (
        {"validation": X},
        ConfigTypeError,
        f"{VALIDATION}, got `ndarray`",
    ),
    (
        {"validation": True},
        ConfigTypeError,
        f"{VALIDATION}, got `bool`",
    ),
    ({"validation": (X, Y + 1)}, DataError, f"validation: `y` {CLASSES}, got `3` at `[2]`"),
    ({"epochs": -1}, ConfigError, "`epochs` must be at least 0, got `-1`"),
]


@pytest.mark.parametrize(("settings", "kind", "message"), FITS, ids=[m for _, _, m in FITS])
def test_what_is_measured_can_be(settings, kind, message):
    refused(kind, message, **settings)


@pytest.mark.parametrize(
    ("loss", "metric", "fit"),
    [
        ("mse", "accuracy", "`r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance`, `median_error`"),
        ("multi_margin", "log_loss", None),
        ("cross_entropy", "rmse", None),
    ],
)
def test_a_metric_fits_the_loss(loss, metric, fit):
    fit = fit or ", ".join(f"`{name}`" for name in fb.metrics.fitting(loss))
    message = f"`metric` must be one of {fit} with loss `{loss}`, got `{metric}`"
    refused(ConfigError, message, loss, validation=(X, Y if loss in LABELS else T), metrics=[metric])


@pytest.mark.parametrize(
    ("loss", "validation", "metric"),
    [
        ("cross_entropy", (X, Y), "top_9"),
        ("cross_entropy", (X, Y), "top_k"),
        ("cross_entropy", (X, np.zeros(6, int)), "roc_auc"),
        ("cross_entropy", (X, np.full((6, 3), 1 / 3)), "accuracy"),
        ("binary_cross_entropy", (X, T), "accuracy"),
        ("mse", (X[:1], T[:1]), "r2"),
    ],
    ids=["more-than-there-are", "five-by-default", "one-class", "probabilities", "no-yes-or-no", "one-row"],
)
def test_a_metric_that_cannot_be_taken_is_refused_before_the_first_epoch(loss, validation, metric):
    refused(None, None, loss, validation=validation, metrics=[metric])


def test_rows_that_a_loss_ignores_are_ignored_by_metrics_too():
    training = trainer(fb.CrossEntropy(ignore_index=-1))
    y = np.array([-1, 0, 1, 2, -1, 0])
    history = training.fit(X, y, 1, validation=(X, y), metrics=["accuracy"])
    right = training.averaged.predict(X).argmax(axis=1) == y
    assert history["val_accuracy"] == [right[y >= 0].mean()]


# Callbacks

VALIDATED = {"validation": (X, Y), "metrics": ["accuracy"]}
WATCHED = "`loss`, `val_loss`, `val_accuracy`"
NAMES = "`epoch`, `step`, `loss`, `val_loss`, `val_accuracy`, `lr`"
WATCHING = {
    "EarlyStopping": lambda monitor: fb.EarlyStopping(monitor=monitor),
    "ReduceLROnPlateau": lambda monitor: fb.ReduceLROnPlateau(monitor=monitor),
    "ModelCheckpoint": lambda monitor: fb.ModelCheckpoint("never", save_best_only=True, monitor=monitor),
}


@pytest.mark.parametrize("name", WATCHING)
def test_what_is_watched_is_measured(name):
    make = WATCHING[name]
    where = f"`{name}.monitor`"
    hint = "\nhint: did you mean `val_accuracy`?"
    for monitor, more in (("val_acc", hint), ("accuracy", hint), ("xyzzy", ""), ("lr", "")):
        message = f"{where} must be one of {WATCHED}, got `{monitor}`{more}"
        refused(ConfigError, message, callbacks=[make(monitor)], **VALIDATED)
    hint = f'\nhint: {name}(monitor="loss") watches the training loss'
    message = f"{where} is `val_loss`, so `fit` must be given `validation`{hint}"
    refused(ConfigError, message, callbacks=[make("val_loss")])
    refused(ConfigError, f"{where} must be one of `loss`, got `val_accuracy`", callbacks=[make("val_accuracy")])


@pytest.mark.parametrize("wrong", ["xyzzy", "0", "", "epoch.real", "epoch[0]", "seconds", "val_rmse"])
def test_a_checkpoint_is_named_after_what_is_known(wrong, tmp_path):
    path = tmp_path / "new" / f"{{epoch}}-{{{wrong}}}"
    message = f"`ModelCheckpoint.path` may name {NAMES} in braces, got `{wrong}`"
    refused(ConfigError, message, callbacks=[fb.ModelCheckpoint(path)], **VALIDATED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["{epoch", "epoch}", "{epoch:03q}", "{epoch!x}", "{loss:d}", "{epoch:{xyzzy}}"])
def test_a_name_is_written_as_python_can_fill_it_in(wrong, tmp_path):
    path = tmp_path / "new" / wrong
    message = f"`ModelCheckpoint.path` must be a path with names in braces, got `{path}`"
    refused(ConfigError, message, callbacks=[fb.ModelCheckpoint(path)], **VALIDATED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [fb.TimeBudget, 3, "early", None, lambda history: None])
def test_callbacks_are_callbacks(wrong):
    message = f"`callbacks` must hold callbacks or functions f(trainer, history), got `{wrong!r}`"
    refused(ConfigTypeError, message, callbacks=[fb.TimeBudget(9.0), wrong])


@pytest.mark.parametrize("other", [fb.SGD(), fb.Adam(amsgrad=True), fb.Adam(decay_all=True), fb.AdamW(), "adam", None])
def test_an_optimiser_stays_of_its_kind(other):
    training = trainer()
    with pytest.raises(ConfigError) as info:
        training.optimizer = other
    assert str(info.value) == f"`optimizer` must stay the same kind as `{fb.Adam(0.01)!r}`, got `{other!r}`"
    assert training.optimizer == fb.Adam(0.01)
