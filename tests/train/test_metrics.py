"""Metrics are scikit-learn's to twelve digits, and take a network's outputs for what its loss says they are."""

import dataclasses
import warnings

import numpy as np
import pytest

from fastbp.errors import ConfigError, ConfigTypeError, DataError, DataTypeError, ShapeError
from fastbp.train import metrics as m

SEEDS = range(40)
CLASSIFICATION = ("cross_entropy", "binary_cross_entropy", "multi_margin")


class Quiet:
    """scikit-learn's metrics without their warnings; ours stay errors."""

    def __init__(self, metrics):
        self.metrics = metrics

    def __getattr__(self, name):
        def call(*arguments, **options):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return getattr(self.metrics, name)(*arguments, **options)

        return call


@pytest.fixture
def theirs():
    return Quiet(pytest.importorskip("sklearn.metrics"))


def same(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def some_weights(rng, rows):
    """None, whole numbers with zeros, or fractions."""
    return [None, rng.integers(0, 3, rows) + (np.arange(rows) == 0), rng.random(rows) + 0.01][rng.integers(3)]


def label_case(seed):
    """Labels as numbers, floats, booleans or strings, of one row or many, with classes that only one side has."""
    rng = np.random.default_rng(seed)
    rows, classes = int(rng.choice([1, 2, 7, 50])), int(rng.integers(1, 6))
    t, p = rng.integers(0, classes, rows), rng.integers(0, int(rng.integers(1, classes + 1)), rows)
    names = [np.arange(5), np.arange(5) * 3.0 - 4, np.array(["e", "bb", "a", "c", "dd"])][seed % 3]
    if classes <= 2 and seed % 4 == 0:
        names = np.array([False, True])
    return names[t], names[p], some_weights(rng, rows)


def indicator_case(seed):
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.choice([1, 2, 7, 50])), int(rng.integers(2, 6))
    return rng.integers(0, 2, (2, rows, columns)), some_weights(rng, rows)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def score_case(seed, classes=None):
    """Rows of every class, and scores with many ties."""
    rng = np.random.default_rng(seed)
    classes = classes or int(rng.integers(3, 6))
    rows = int(rng.choice([classes, 30, 101]))
    t = rng.permutation(np.arange(rows) % classes)
    z = rng.standard_normal((rows, classes)).round(int(rng.choice([0, 1, 8])))
    w = some_weights(rng, rows)
    return t, z, None if w is None else w + 1


# Equal to scikit-learn: classes


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracies_and_confusion_are_those_of_scikit_learn(theirs, seed):
    t, p, w = label_case(seed)
    same(m.accuracy(t, p, sample_weight=w), theirs.accuracy_score(t, p, sample_weight=w))
    same(m.balanced_accuracy(t, p, sample_weight=w), theirs.balanced_accuracy_score(t, p, sample_weight=w))
    shuffled = np.random.default_rng(seed).permutation(np.unique(t))
    for labels in (None, shuffled, shuffled[:1]):
        for normalize in (None, "true", "pred", "all"):
            options = {"labels": labels, "sample_weight": w, "normalize": normalize}
            ours, expected = m.confusion_matrix(t, p, **options), theirs.confusion_matrix(t, p, **options)
            same(ours, expected)
            assert ours.dtype == expected.dtype


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("seed", SEEDS)
def test_precision_recall_and_f1_are_those_of_scikit_learn(theirs, seed, average):
    for t, p, w in (label_case(seed), (*indicator_case(seed)[0], indicator_case(seed)[1])):
        options = {"average": average, "sample_weight": w}
        same(m.precision(t, p, **options), theirs.precision_score(t, p, **options))
        same(m.recall(t, p, **options), theirs.recall_score(t, p, **options))
        same(m.f1(t, p, **options), theirs.f1_score(t, p, **options))


@pytest.mark.parametrize("seed", SEEDS)
def test_binary_precision_recall_and_f1_are_those_of_scikit_learn(theirs, seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([1, 2, 7]))
    t, p, w = rng.integers(0, 2, rows), rng.integers(0, 2, rows), some_weights(rng, rows)
    words = np.array(["no", "yes"])
    for a, b, positive in ((t, p, 1), (words[t], words[p], "yes"), (t, p, 0)):
        options = {"average": "binary", "pos_label": positive, "sample_weight": w}
        same(m.precision(a, b, **options), theirs.precision_score(a, b, **options))
        same(m.recall(a, b, **options), theirs.recall_score(a, b, **options))
        same(m.f1(a, b, **options), theirs.f1_score(a, b, **options))


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_of_several_labels_counts_rows_that_are_all_right(theirs, seed):
    (t, p), w = indicator_case(seed)
    p = np.where(np.random.default_rng(seed).random(len(t))[:, None] < 0.5, t, p)
    same(m.accuracy(t, p, sample_weight=w), theirs.accuracy_score(t, p, sample_weight=w))


# Equal to scikit-learn: scores


@pytest.mark.parametrize("seed", SEEDS)
def test_top_k_is_that_of_scikit_learn_and_ties_go_to_the_last_column(theirs, seed):
    t, z, w = score_case(seed)
    for k in range(1, z.shape[1] + 1):
        same(m.top_k(t, z, k=k, sample_weight=w), theirs.top_k_accuracy_score(t, z, k=k, sample_weight=w))
    t[t == 1] = 0  # a class that no row has
    labels = np.arange(z.shape[1])
    same(m.top_k(t, z, labels=labels), theirs.top_k_accuracy_score(t, z, labels=labels))


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-6), ("float16", 1e-2)])
@pytest.mark.parametrize("seed", SEEDS)
def test_log_loss_is_that_of_scikit_learn_and_clips_as_its_dtype_does(theirs, seed, dtype, rtol):
    t, z, w = score_case(seed)
    p = softmax(z * 30).astype(dtype)  # some are 0 and 1
    expected = theirs.log_loss(t, p, sample_weight=w)
    np.testing.assert_allclose(m.log_loss(t, p, sample_weight=w), expected, rtol=rtol, atol=rtol)
    names = np.array(["ab", "b", "cc", "d", "e"])
    t[t == 1] = 0
    expected = theirs.log_loss(names[t], p, labels=names[: z.shape[1]])
    np.testing.assert_allclose(m.log_loss(names[t], p, labels=names[: z.shape[1]]), expected, rtol=rtol, atol=rtol)


def test_nothing_of_the_machine_takes_the_logarithms_of_a_log_loss(monkeypatch):
    t, z, w = score_case(0)
    expected = np.average(-np.log(softmax(z)[np.arange(len(t)), t]), weights=w)
    monkeypatch.setattr(np, "log", None)
    assert m.log_loss(t, softmax(z), sample_weight=w) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_binary_log_loss_and_roc_auc_are_those_of_scikit_learn(theirs, seed):
    t, z, w = score_case(seed, classes=2)
    p = softmax(z)
    words = np.array(["no", "yes"])[t]
    for score in (p[:, 1], p[:, 1:], p):
        same(m.log_loss(words, score, sample_weight=w), theirs.log_loss(words, score, sample_weight=w))
    for score in (z[:, 1], p[:, 1], z[:, 1].astype(np.float32), np.abs(z[:, 1]).astype(np.uint8)):
        same(m.roc_auc(words, score, sample_weight=w), theirs.roc_auc_score(words, score, sample_weight=w))
    no_weight = np.arange(len(t)) > 0
    if len(set(t[1:])) == 2:
        same(m.roc_auc(t, z[:, 0], sample_weight=no_weight), theirs.roc_auc_score(t[1:], z[1:, 0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_roc_auc_of_many_classes_is_that_of_scikit_learn(theirs, seed):
    t, z, w = score_case(seed)
    p = softmax(z)
    for average in ("macro", "weighted", "micro"):
        options = {"average": average, "multi_class": "ovr", "sample_weight": w}
        same(m.roc_auc(t, p, **options), theirs.roc_auc_score(t, p, **options))
    for average in ("macro", "weighted"):
        options = {"average": average, "multi_class": "ovo"}
        same(m.roc_auc(t, p, **options), theirs.roc_auc_score(t, p, **options))
        t_without, labels = np.where(t == 1, 0, t), np.arange(p.shape[1])
        same(
            m.roc_auc(t_without, p, labels=labels, **options),
            theirs.roc_auc_score(t_without, p, labels=labels, **options),
        )
    same(
        m.roc_auc(t_without, p, labels=labels, average="weighted"),
        theirs.roc_auc_score(t_without, p, labels=labels, average="weighted", multi_class="ovr"),
    )


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("seed", SEEDS)
def test_roc_auc_of_several_labels_is_that_of_scikit_learn(theirs, seed, average):
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.choice([2, 9, 60])), int(rng.integers(2, 5))
    t = rng.integers(0, 2, (rows, columns))
    t[0], t[1] = 1, 0
    z = rng.standard_normal((rows, columns)).round(1)
    w = rng.random(rows) + 0.1 if seed % 2 else None
    options = {"average": average, "sample_weight": w}
    same(m.roc_auc(t, z, **options), theirs.roc_auc_score(t, z, **options))
    t[:, 0] = 0
    if average == "weighted" or (average == "micro" and t.any()):
        same(m.roc_auc(t, z, **options), theirs.roc_auc_score(t, z, **options))


# Equal to scikit-learn: numbers

NUMBERS = {
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "explained_variance": "explained_variance_score",
    "r2": "r2_score",
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_metrics_of_numbers_are_those_of_scikit_learn(theirs, seed, name):
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([2, 7, 50])) if name == "r2" else int(rng.choice([1, 2, 7, 50]))
    shape = [(rows,), (rows, 1), (rows, 3)][seed % 3]
    t, p, w = rng.standard_normal(shape), rng.standard_normal(shape), some_weights(rng, rows)
    if seed % 4 == 0:
        t[..., -1:] = 2.0  # a constant column, or a row that mape finds the same
    if seed % 8 == 0:
        p[..., -1:] = 2.0
    if seed % 5 == 0:
        t, p = (10 * t).astype(int), (10 * p).astype(int)  # with zeros
    if seed % 7 == 0:
        t[:] = 3
    if seed % 3 == 1:
        p = p[:, 0]
    expected = getattr(theirs, NUMBERS[name])(t, p, sample_weight=w)
    np.testing.assert_allclose(getattr(m, name)(t, p, sample_weight=w), expected, rtol=1e-12, atol=1e-12)


def test_numbers_are_taken_in_float64_whatever_comes_in():
    t = np.float32([1, 2, 3])
    assert m.mse(t, t + np.float32(1e-3)) == np.mean((np.float64(t) - np.float64(t + np.float32(1e-3))) ** 2)


# What is refused

P3 = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]
NAN, INF = float("nan"), float("inf")

REFUSED = [
    (m.accuracy, ([0] * 5, [0] * 4), {}, ShapeError, "`y_pred` must have shape `(5,)`, got `(4,)`"),
    (m.accuracy, ([], []), {}, ShapeError, "`y_true` must not be empty, got shape `(0,)`"),
    (m.accuracy, ([0, 1], [0, NAN]), {}, DataError, "`y_pred` must be finite, got `nan` at `[1]`"),
    (m.accuracy, ([0, 1], [0, 0.5]), {}, DataError,
     "`y_pred` must be classes, whole numbers or strings, got `0.5` at `[1]`"),
    (m.accuracy, ([0, 1], ["0", "1"]), {}, DataTypeError, "`y_pred` must be numbers as `y_true` is, got strings"),
    (m.accuracy, (["a"], [1]), {}, DataTypeError, "`y_pred` must be strings as `y_true` is, got numbers"),
    (m.accuracy, ([b"a"], [b"a"]), {}, DataTypeError, "`y_true` must be whole numbers or strings, got dtype `|S1`"),
    (m.accuracy, ([[0, 2]], [[0, 1]]), {}, DataError,
     "`y_true` must be 0 or 1 where rows have several labels, got `2` at `[0, 1]`"),
    (m.accuracy, ([[0, 1]], [0]), {}, ShapeError, "`y_pred` must have shape `(1, 2)`, got `(1,)`"),
    (m.accuracy, ([[0], [1, 2]], [0]), {}, DataError,
     "`y_true` must be an array of numbers, got a `list`"),
    (m.accuracy, ([0], [0]), {"sample_weight": [1, 2]}, ShapeError,
     "`sample_weight` must have shape `(1,)`, got `(2,)`"),
    (m.accuracy, ([0, 1], [0, 1]), {"sample_weight": [1, -2]}, DataError,
     "`sample_weight` must be >= 0, got `-2` at `[1]`"),
    (m.accuracy, ([0, 1], [0, 1]), {"sample_weight": [0, 0]}, DataError,
     "`sample_weight` must have a weight above 0, got only zeros"),
    (m.mse, ([0, 1], [0, 1]), {"sample_weight": [1, INF]}, DataError,
     "`sample_weight` must be finite, got `inf` at `[1]`"),
    (m.balanced_accuracy, ([[0, 1]], [[0, 1]]), {}, ShapeError,
     "`y_true` must have shape `(rows,)`, one class a row, got `(1, 2)`"),
    (m.confusion_matrix, ([0], [0]), {"normalize": "tru"}, ConfigError,
     "`normalize` must be one of `true`, `pred`, `all`, got `tru`\nhint: did you mean `true`?"),
    (m.confusion_matrix, ([0], [0]), {"labels": [0, 1, 1]}, ConfigError,
     "`labels` must name each class once, got `1` 2 times"),
    (m.confusion_matrix, ([0], [1]), {"labels": [1, 2]}, ConfigError,
     "`labels` must have a class that is in `y_true`, got `[1, 2]`"),
    (m.confusion_matrix, ([0], [1]), {"labels": ["a"]}, DataTypeError,
     "`labels` must be numbers as `y_true` is, got strings"),
    (m.f1, ([0], [0]), {"average": "mean"}, ConfigError,
     "`average` must be one of `macro`, `micro`, `weighted`, `binary`, got `mean`"),
    (m.f1, ([0, 1, 2], [0, 1, 2]), {"average": "binary"}, ConfigError,
     "`average` must be one of `macro`, `micro`, `weighted` for more than two classes, got `binary`"),
    (m.f1, ([[0, 1]], [[0, 1]]), {"average": "binary"}, ConfigError,
     "`average` must be one of `macro`, `micro`, `weighted` for several labels a row, got `binary`"),
    (m.precision, (["a", "b"], ["a", "b"]), {"average": "binary"}, ConfigError,
     "`pos_label` must be one of `a`, `b`, got `1`"),
    (m.recall, ([2, 3], [2, 3]), {"average": "binary"}, ConfigError, "`pos_label` must be one of `2`, `3`, got `1`"),
    (m.top_k, ([0, 1, 2], P3), {"k": 4}, ConfigError, "`k` must be between 1 and 3, the number of classes, got `4`"),
    (m.top_k, ([0, 1, 2], P3), {"k": 0}, ConfigError, "`k` must be between 1 and 3, the number of classes, got `0`"),
    (m.top_k, ([0, 1, 2], P3), {"k": 1.5}, ConfigTypeError, "`k` must be a whole number, got `1.5`"),
    (m.top_k, ([0, 1, 1], P3), {}, ShapeError,
     "`y_score` must have shape `(3, 2)`, a column for each class in `y_true`, got `(3, 3)`\nhint: name the classes"
     " of all columns with `labels`"),
    (m.top_k, ([0, 1, 5], P3), {"labels": [0, 1, 2]}, DataError, "`y_true` must be one of `labels`, got `5` at `[2]`"),
    (m.top_k, ([0, 1, 2], P3), {"labels": [0, 2, 1]}, ConfigError, "`labels` must be sorted, got `[0, 2, 1]`"),
    (m.top_k, ([0, 1, 2], P3), {"labels": [0, 1]}, ConfigError, "`labels` must name 3 classes, one a column, got 2"),
    (m.top_k, ([0, 1], P3), {}, ShapeError, "`y_score` must have shape `(2, classes)` with classes >= 2, got `(3, 3)`"),
    (m.top_k, ([0, 1], [[[0]]]), {}, ShapeError,
     "`y_score` must have shape `(rows,)` or `(rows, columns)`, got `(1, 1, 1)`"),
    (m.log_loss, ([0, 1], [0.5]), {}, ShapeError, "`y_pred` must have shape `(2, classes)` or `(2,)`, got `(1,)`"),
    (m.log_loss, ([0, 1], [0.5, 1.5]), {}, DataError, "`y_pred` must be between 0 and 1, got `1.5` at `[1]`"),
    (m.log_loss, ([0, 0], [0.5, 0.5]), {}, DataError, "`y_true` must have two or more classes, got only `0`"),
    (m.log_loss, ([0, 1, 2], [0.5, 0.5, 0.5]), {}, ShapeError,
     "`y_pred` must have shape `(3, 3)`, a column for each class in `y_true`, got `(3,)`\nhint: name the classes of"
     " all columns with `labels`"),
    (m.log_loss, ([0, 1], [[0.5, 0.5], [0.5, 0.25]]), {}, DataError,
     "`y_pred.sum(axis=1)` must be 1, probabilities of all classes, got `0.75` at `[1]`"),
    (m.roc_auc, ([1, 1], [0.5, 0.6]), {}, DataError, "`y_true` must have two or more classes, got only `1`"),
    (m.roc_auc, ([0, 1], [0.5, 0.6]), {"sample_weight": [0, 1]}, DataError,
     "`y_true` must have rows with and without class `1`, got only rows with it"),
    (m.roc_auc, ([0, 1, 1], P3), {"labels": [0, 1, 2]}, DataError,
     "`y_true` must have rows with and without class `2`, got only rows without it"),
    (m.roc_auc, ([[0, 1], [1, 1]], [[0, 1], [1, 1]]), {}, DataError,
     "`y_true` must have rows with and without label `1`, got only rows with it"),
    (m.roc_auc, ([[0, 0], [0, 0]], [[0, 1], [1, 1]]), {"average": "weighted"}, DataError,
     "`y_true` must have rows with and without label `0`, got only rows without it"),
    (m.roc_auc, ([[0, 0]], [[0, 1]]), {"average": "micro"}, DataError,
     "`y_true` must have zeros and ones, got only zeros"),
    (m.roc_auc, ([[0, 1]], [0]), {}, ShapeError, "`y_score` must have shape `(1, 2)`, got `(1,)`"),
    (m.roc_auc, ([0, 1], [0.1]), {}, ShapeError, "`y_score` must have shape `(2,)` for two classes, got `(1,)`"),
    (m.roc_auc, ([0, 1], [[0.5, 0.5], [0.4, 0.6]]), {}, ShapeError,
     "`y_score` must have shape `(2,)` for two classes, got `(2, 2)`"),
    (m.roc_auc, ([0, 1, 2], [0, 1, 2]), {}, ShapeError, "`y_score` must have shape `(3, 3)`, got `(3,)`"),
    (m.roc_auc, ([0, 1, 2, 2], P3), {}, ShapeError, "`y_score` must have shape `(4, 3)`, got `(3, 3)`"),
    (m.roc_auc, ([0, 1, 2], np.eye(3) * 2), {}, DataError,
     "`y_score.sum(axis=1)` must be 1, probabilities of all classes, got `2.0` at `[0]`"),
    (m.roc_auc, ([0, 1, 2], P3), {"average": "binary"}, ConfigError,
     "`average` must be one of `macro`, `micro`, `weighted`, got `binary`"),
    (m.roc_auc, ([0, 1, 2], P3), {"multi_class": "pairs"}, ConfigError,
     "`multi_class` must be one of `ovr`, `ovo`, got `pairs`"),
    (m.roc_auc, ([0, 1, 2], P3), {"multi_class": "ovo", "average": "micro"}, ConfigError,
     "`average` must be one of `macro`, `weighted` with `multi_class` `ovo`, got `micro`"),
    (m.roc_auc, ([0, 1, 2], P3), {"multi_class": "ovo", "sample_weight": [1, 1, 1]}, ConfigError,
     "`sample_weight` must be `None` with `multi_class` `ovo`, got weights"),
    (m.mse, ([0, 1], [[0, 1]]), {}, ShapeError, "`y_pred` must have shape `(2,)`, got `(1, 2)`"),
    (m.mae, ([0, 1], [0, NAN]), {}, DataError, "`y_pred` must be finite, got `nan` at `[1]`"),
    (m.mape, (["a"], [0]), {}, DataTypeError, "`y_true` must be real numbers, got dtype `<U1`"),
    (m.rmse, (np.zeros((0, 2)), np.zeros((0, 2))), {}, ShapeError, "`y_true` must not be empty, got shape `(0, 2)`"),
    (m.calibrated_log_loss, ([0, 1], [1.0]), {}, ShapeError,
     "`y_score` must have shape `(2, classes)` or `(2,)`, got `(1,)`"),
    (m.calibrated_log_loss, ([0, 1], [[1.0, INF], [0.0, 0.0]]), {}, DataError,
     "`y_score` must be finite, got `inf` at `[0, 1]`"),
    (m.calibrated_log_loss, ([1, 1], [0.0, 1.0]), {}, DataError,
     "`y_true` must have two or more classes, got only `1`"),
    (m.r2, ([1], [1]), {}, ShapeError, "`y_true` must have at least 2 rows for `r2`, got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "error", "message"), REFUSED)
def test_bad_input_is_refused_in_one_sentence(function, arguments, options, error, message):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    assert str(caught.value) == message
    assert type(caught.value) is error


# The registry

FOR_CLASSES = ["accuracy", "top_k", "balanced_accuracy", "f1_macro", "f1_micro", "f1_weighted", "precision", "recall"]
PROBABLE = ["log_loss", "roc_auc", "average_precision", "brier", "calibration_error", "calibrated_log_loss"]
NAMES = [*FOR_CLASSES, *PROBABLE, "r2", "mse", "rmse", "mae", "mape", "explained_variance", "median_error"]
LIST = ", ".join(f"`{name}`" for name in NAMES)


def test_the_registry_names_every_metric_and_what_is_better():
    assert list(m.METRICS) == NAMES
    lower = [name for name, metric in m.METRICS.items() if not metric.higher_is_better]
    assert lower == [
        "log_loss",
        "brier",
        "calibration_error",
        "calibrated_log_loss",
        "mse",
        "rmse",
        "mae",
        "mape",
        "median_error",
    ]
    assert all(metric.formula and "\n" not in metric.formula for metric in m.METRICS.values())
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.METRICS["r2"].name = "r3"


def test_top_k_is_named_with_its_k():
    assert m.metric_named("top_k").function.keywords == {"k": 5}
    assert m.metric_named("top_3", "cross_entropy").function.keywords == {"k": 3}
    assert m.metric_named("top_12").name == "top_12"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), ConfigTypeError, "`metric` must be the name of a metric, got `3`"),
        (("acuracy",), ConfigError,
         f"`metric` must be one of {LIST}, got `acuracy`\nhint: did you mean `accuracy`?"),
        (("top_0",), ConfigError,
         f"`metric` must be one of {LIST}, got `top_0`\nhint: did you mean `top_k`?"),
        (("accuracy", "mse"), ConfigError,
         "`metric` must be one of `r2`, `mse`, `rmse`, `mae`, `mape`, `explained_variance`, `median_error` with"
         " loss `mse`, got"
         " `accuracy`"),
        (("log_loss", "multi_margin"), ConfigError,
         "`metric` must be one of `accuracy`, `top_k`, `balanced_accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`,"
         " `precision`, `recall`, `roc_auc`, `average_precision` with loss `multi_margin`, got `log_loss`"),
        (("top_3", "binary_cross_entropy"), ConfigError,
         "`metric` must be one of `accuracy`, `balanced_accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`,"
         " `precision`, `recall`, `log_loss`, `roc_auc`, "
         "`average_precision`, `brier`, `calibration_error`, `calibrated_log_loss` with loss"
         " `binary_cross_entropy`, got `top_3`"),
        (("balanced_accuracy", "binary_cross_entropy", True), ConfigError,
         "`metric` must be one of `accuracy`, `f1_macro`, `f1_micro`, `f1_weighted`, `precision`, `recall`,"
         " `log_loss`, `roc_auc`, `average_precision`, `brier`, `calibration_error`, `calibrated_log_loss` with loss"
         " `binary_cross_entropy` and several labels a row, got `balanced_accuracy`"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_name_that_is_unknown_or_does_not_fit_the_loss_is_refused(arguments, error, message):
    with pytest.raises(error) as caught:
        m.metric_named(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("loss", [*CLASSIFICATION, "mse", "gaussian_nll", "poisson", "huber"])
def test_every_fitting_metric_can_be_evaluated_and_no_other(loss):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20, 6)).astype(np.float32)
    y = np.arange(20) % 6
    if loss == "binary_cross_entropy":
        y = (rng.random((20, 6)) < 0.5).astype(np.float32)
    if loss not in CLASSIFICATION:
        y = rng.random((20, 3 if loss == "gaussian_nll" else 6))
    several = loss == "binary_cross_entropy"
    for name in m.METRICS:
        if name in m.fitting(loss, several):
            assert np.isfinite(m.evaluate(name, z, y, rng.random(20), loss=loss))
        else:
            with pytest.raises(ConfigError, match=r"^`metric` must be one of "):
                m.evaluate(name, z, y, loss=loss)


# What outputs mean


def test_classes_are_the_largest_logit_and_probabilities_the_softmax(theirs):
    rng = np.random.default_rng(1)
    z, y, w = rng.standard_normal((50, 7)) * 300, rng.integers(0, 4, 50), rng.random(50)
    options = {"sample_weight": w, "loss": "cross_entropy"}
    same(m.evaluate("accuracy", z, y, **options), theirs.accuracy_score(y, z.argmax(1), sample_weight=w))
    labels = np.arange(7)  # some of which no row has
    expected = theirs.log_loss(y, softmax(z), labels=labels, sample_weight=w)
    same(m.evaluate("log_loss", z, y, **options), expected)
    for name, k in (("top_k", 5), ("top_2", 2)):
        expected = theirs.top_k_accuracy_score(y, z, k=k, labels=labels, sample_weight=w)
        same(m.evaluate(name, z, y, **options), expected)
    y = rng.permutation(np.arange(50) % 7)
    z = z / 300
    expected = theirs.roc_auc_score(y, softmax(z), multi_class="ovr", sample_weight=w)
    same(m.evaluate("roc_auc", z, y, **options), expected)


# Two columns of binary_cross_entropy are two labels.
LOGITS = [(n, loss) for n in (0, 1, 2) for loss in CLASSIFICATION if (n, loss) != (2, "binary_cross_entropy")]


@pytest.mark.parametrize(("columns", "loss"), LOGITS)
def test_one_logit_is_a_class_when_positive_and_two_are_their_difference(theirs, columns, loss):
    rng = np.random.default_rng(2)
    z, y = rng.standard_normal(40).round(1) * 100, np.arange(40) % 2  # the sigmoid of 100 rounds to 1
    outputs = [z, z[:, None], np.stack([np.ones(40), z + 1], axis=1)][columns]
    same(m.evaluate("accuracy", outputs, y, loss=loss), theirs.accuracy_score(y, z > 0))
    same(m.evaluate("f1_macro", outputs, y, loss=loss), theirs.f1_score(y, z > 0, average="macro"))
    same(m.evaluate("roc_auc", outputs, y, loss=loss), theirs.roc_auc_score(y, z))
    if loss != "multi_margin":
        p = softmax(np.stack([np.zeros(40), z], axis=1))
        same(m.evaluate("log_loss", outputs, y[:, None], loss=loss), theirs.log_loss(y, p))


def test_several_labels_are_counted_one_by_one(theirs):
    rng = np.random.default_rng(3)
    z, y, w = rng.standard_normal((30, 4)), rng.integers(0, 2, (30, 4)), rng.random(30)
    options = {"sample_weight": w, "loss": "binary_cross_entropy"}
    flat, each = y.ravel(), np.repeat(w, 4)
    same(m.evaluate("accuracy", z, y, **options), theirs.accuracy_score(flat, z.ravel() > 0, sample_weight=each))
    p = 1 / (1 + np.exp(-z.ravel()))
    same(m.evaluate("log_loss", z, y, **options), theirs.log_loss(flat, p, sample_weight=each))
    same(m.evaluate("f1_macro", z, y, **options), theirs.f1_score(y, z > 0, average="macro", sample_weight=w))
    same(m.evaluate("roc_auc", z, y, **options), theirs.roc_auc_score(y, z, sample_weight=w))


def test_gaussian_means_are_the_first_half_and_poisson_rates_the_exponential():
    rng = np.random.default_rng(4)
    z, y = rng.standard_normal((9, 4)), rng.random((9, 4))
    assert m.evaluate("mae", z, y[:, :2], loss="gaussian_nll") == m.mae(y[:, :2], z[:, :2])
    assert m.evaluate("mae", z, y, loss="poisson") == m.mae(y, np.exp(z))
    assert m.evaluate("mae", z, y, loss="mse") == m.mae(y, z)
    assert m.evaluate("mae", z[:, :2], y[:, 0], loss="gaussian_nll") == m.mae(y[:, 0], z[:, 0])


@pytest.mark.parametrize(
    ("name", "outputs", "y", "loss", "message"),
    [
        ("mse", [[1.0, NAN]], [[1.0, 1.0]], "mse", "`outputs` must be finite, got `nan` at `[0, 1]`"),
        ("mse", [[1.0, 2.0]], [1.0], "mse", "`y` must have shape `(1, 2)`, got `(1,)`"),
        ("mse", [[1.0], [2.0]], [[1.0, 2.0]], "mse", "`y` must have shape `(2, 1)`, got `(1, 2)`"),
        ("mse", [[1.0]], [NAN], "mse", "`y` must be finite, got `nan` at `[0]`"),
        ("r2", [[1.0]], [1.0], "mse", "`y` must have at least 2 rows for `r2`, got 1"),
        ("mse", [[1.0] * 3], [1.0], "gaussian_nll",
         "`outputs` must have an even number of columns, the first half of them means, got `(1, 3)`"),
        ("mse", [[800.0]], [1.0], "poisson", "`outputs` must have a finite exponential, got `800.0` at `[0, 0]`"),
        ("accuracy", P3, [0, 1], "cross_entropy", "`y` must have shape `(3,)`, got `(2,)`"),
        ("accuracy", P3, [0, 1, 3], "cross_entropy",
         "`y` must be between 0 and 2, the network's classes, got `3` at `[2]`"),
        ("accuracy", P3, [0, 1, 0.5], "cross_entropy",
         "`y` must be classes, whole numbers or strings, got `0.5` at `[2]`"),
        ("accuracy", P3, ["a"] * 3, "cross_entropy", "`y` must be real numbers, got dtype `<U1`"),
        ("accuracy", P3, [0, 1, 1], "binary_cross_entropy", "`y` must have shape `(3, 3)`, got `(3,)`"),
        ("accuracy", P3, np.full((3, 3), 2), "binary_cross_entropy",
         "`y` must be 0 or 1 where rows have several labels, got `2` at `[0, 0]`"),
        ("accuracy", [[1.0]], [2], "binary_cross_entropy",
         "`y` must be between 0 and 1, the network's classes, got `2` at `[0]`"),
        ("roc_auc", [[1.0], [2.0]], [1, 1], "binary_cross_entropy", "`y` must have two or more classes, got only `1`"),
        ("top_k", P3, [0, 1, 2], "cross_entropy", "`k` must be between 1 and 3, the number of classes, got `5`"),
    ],
)  # fmt: skip
def test_outputs_and_targets_that_do_not_fit_are_refused_by_their_own_names(name, outputs, y, loss, message):
    with pytest.raises((DataError, ConfigError)) as caught:
        m.evaluate(name, outputs, y, loss=loss)
    assert str(caught.value) == message
