"""What is said of an evaluation: each number against its formula, row by row in plain Python, and scikit-learn's."""

import json
import math

import numpy as np
import pytest

from fastbp.errors import ConfigError, DataError, ShapeError
from fastbp.train import metrics as m
from tests.train.test_metrics import SEEDS, Quiet, same, score_case, softmax, some_weights


@pytest.fixture
def theirs():
    return Quiet(pytest.importorskip("sklearn.metrics"))


# Average precision, Brier score, calibration and median error


@pytest.mark.parametrize("seed", SEEDS)
def test_average_precision_is_that_of_scikit_learn(theirs, seed):
    t, z, w = score_case(seed)
    for average in ("macro", "weighted", "micro"):
        options = {"average": average, "sample_weight": w}
        same(m.average_precision(t, z, **options), theirs.average_precision_score(t, z, **options))
        several = np.random.default_rng(seed).integers(0, 2, z.shape)
        several[0] = 1
        same(m.average_precision(several, z, **options), theirs.average_precision_score(several, z, **options))
    t, z, w = score_case(seed, classes=2)
    words = np.array(["no", "yes"])[t]
    for score in (z[:, 1], z[:, 1:], z[:, 1].astype(np.float32)):
        ours = m.average_precision(words, score, sample_weight=w)
        same(ours, theirs.average_precision_score(words, score.ravel(), pos_label="yes", sample_weight=w))


def test_average_precision_is_the_mean_of_the_precision_at_each_positive():
    rng = np.random.default_rng(0)
    t, score = rng.integers(0, 2, 50), rng.permutation(50)
    order = np.argsort(-score)
    at = [t[order[: i + 1]].mean() for i in range(50) if t[order[i]]]
    same(m.average_precision(t, score), np.mean(at))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_brier_score_is_that_of_scikit_learn(theirs, seed):
    for classes in (2, 4):
        t, z, w = score_case(seed, classes)
        p = softmax(z)
        same(m.brier(t, p, sample_weight=w), theirs.brier_score_loss(t, p, labels=range(classes), sample_weight=w))
        if classes == 2:
            same(m.brier(t, p[:, 1], sample_weight=w), theirs.brier_score_loss(t, p[:, 1], sample_weight=w))


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_has_the_bins_of_scikit_learn(seed):
    curve = pytest.importorskip("sklearn.calibration").calibration_curve
    rng = np.random.default_rng(seed)
    t, p = rng.permutation(np.arange(200) % 2), rng.random(200).round(int(rng.integers(1, 4)))  # many at the edges
    bins = int(rng.choice([1, 3, 10]))
    actual, predicted = curve(t, p, n_bins=bins)
    found = m.calibration(t, p, bins=bins)
    same(found.actual, actual)
    same(found.predicted, predicted)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_calibration_error_is_a_sum_over_bins_of_rows(seed):
    t, z, w = score_case(seed)
    p, w = softmax(z), np.ones(len(t)) if w is None else w
    bins = {}
    for row, target, weight in zip(p.tolist(), t.tolist(), w.tolist(), strict=True):
        best = max(row)
        of = next(b for b in range(10) if best <= (b + 1) / 10 or b == 9)
        bins.setdefault(of, []).append((best, row.index(best) == target, weight))
    lost = sum(abs(sum(w * (true - said) for said, true, w in rows)) for rows in bins.values())
    same(m.calibration_error(t, p, sample_weight=w), lost / w.sum())
    found = m.calibration(t, p, sample_weight=w)
    same(found.rows, [sum(w for _, _, w in bins[b]) for b in sorted(bins)])
    same(found.low, [b / 10 for b in sorted(bins)])
    same(found.high, [(b + 1) / 10 for b in sorted(bins)])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_median_error_is_that_of_scikit_learn(theirs, seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([1, 2, 7, 50]))
    t, p, w = rng.integers(0, 9, (rows, 2)) / 1.0, rng.integers(0, 9, (rows, 2)) / 4.0, some_weights(rng, rows)
    same(m.median_error(t, p), theirs.median_absolute_error(t, p))
    if w is not None and w.dtype.kind == "i":  # a weight of n is n rows
        repeated = theirs.median_absolute_error(np.repeat(t, w, axis=0), np.repeat(p, w, axis=0))
        same(m.median_error(t, p, sample_weight=w), repeated)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: m.average_precision([1, 1], [0.5, 0.6]), DataError,
         "`y_true` must have two or more classes, got only `1`"),
        (lambda: m.average_precision([[0, 1], [0, 1]], [[0, 1], [1, 1]]), DataError,
         "`y_true` must have rows with and without label `0`, got only rows without it"),
        (lambda: m.average_precision([0, 1], [0.5, 0.6], average="mean"), ConfigError,
         "`average` must be one of `macro`, `micro`, `weighted`, got `mean`"),
        (lambda: m.average_precision([0, 1, 2], [0.5, 0.6]), ShapeError,
         "`y_score` must have shape `(3, 2)`, got `(2,)`"),
        (lambda: m.brier([0, 1], [0.5, 1.5]), DataError, "`y_pred` must be between 0 and 1, got `1.5` at `[1]`"),
        (lambda: m.calibration([0, 1], [0.5, 0.5], bins=0), ConfigError, "`bins` must be at least 1, got `0`"),
        (lambda: m.report([[1.0, 2.0]], [0], loss="cross_entropy", names=["a"]), ConfigError,
         "`names` must be 2 names, one for each output, got `['a']`"),
        (lambda: m.report([[1.0, 2.0]], [0], loss="cross_entropy", positive="2"), ConfigError,
         "`positive` must be one of `0`, `1`, got `2`"),
        (lambda: m.report([[1.0, 2.0, 3.0]], [0], loss="cross_entropy", positive="1"), ConfigError,
         "`positive` must be given for two classes only, got `1` for 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_one_sentence(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


# The report


@pytest.mark.parametrize("seed", SEEDS)
def test_a_report_of_classes_counts_rows_one_by_one(seed):
    t, z, w = score_case(seed)
    size, names = z.shape[1], [f"c{i}" for i in range(z.shape[1])]
    found = m.report(z, t, loss="cross_entropy", names=names, sample_weight=w)
    each = [1] * len(t) if w is None else w.tolist()
    cells = [[0.0] * size for _ in range(size)]
    for row, target, weight in zip(z.tolist(), t.tolist(), each, strict=True):
        cells[target][row.index(max(row))] += weight
    same(found["confusion"], cells)
    for i, row in enumerate(found["each"]):
        called, true = sum(cells[a][i] for a in range(size)), sum(cells[i])
        same(row["precision"], cells[i][i] / called if called else 0.0)
        same(row["recall"], cells[i][i] / true)
        same(row["f1"], 2 * cells[i][i] / (called + true))
        assert row["name"] == names[i]
    wrong = {(a, b): cells[a][b] for a in range(size) for b in range(size) if a != b and cells[a][b]}
    most = sorted(wrong, key=lambda pair: (-wrong[pair], pair))[:10]
    assert [(r["class"], r["taken_for"]) for r in found["mistakes"]] == [(names[a], names[b]) for a, b in most]
    for key in ("precision", "recall", "f1"):
        values = [row[key] for row in found["each"]]
        same(found["averages"]["macro"][key], sum(values) / size)
        true = [sum(row) for row in cells]
        same(found["averages"]["weighted"][key], sum(map(math.prod, zip(values, true, strict=True))) / sum(true))
    p = softmax(z)
    weights = np.divide(each, sum(each))
    same(found["log_loss"], -sum(w * math.log(p[i, c]) for i, (c, w) in enumerate(zip(t, weights, strict=True))))
    same(
        found["brier"],
        sum(w * sum((p[i] - np.eye(size)[c]) ** 2) for i, (c, w) in enumerate(zip(t, weights, strict=True))),
    )
    assert found["calibration"]["of"] == "the predicted class"
    assert "binary" not in found
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "multi_margin"])
@pytest.mark.parametrize("positive", [None, "no", "yes"])
def test_a_report_of_two_classes_is_of_the_positive_one(theirs, loss, positive):
    rng = np.random.default_rng(3)
    t, z = rng.integers(0, 2, 60), rng.standard_normal((60, 1 if loss == "binary_cross_entropy" else 2)).round(1)
    found = m.report(z, t, loss=loss, names=["no", "yes"], positive=positive)
    margin = z[:, 0] if z.shape[1] == 1 else z[:, 1] - z[:, 0]
    called, words = (margin > 0).astype(int), positive or "yes"
    if words == "no":
        t, margin, called = 1 - t, -margin, 1 - called
    binary = found["binary"]
    assert binary["positive"] == words
    same(binary["roc_auc"], theirs.roc_auc_score(t, margin))
    same(binary["average_precision"], theirs.average_precision_score(t, margin))
    same(binary["precision"], theirs.precision_score(t, called))
    same(binary["recall"], theirs.recall_score(t, called))
    same(binary["f1"], theirs.f1_score(t, called))
    if loss == "multi_margin":
        assert not {"log_loss", "brier", "calibration", "calibration_error"} & {*found}
        return
    p = 1 / (1 + np.exp(-margin))
    same(found["brier"], np.mean((p - t) ** 2))
    same(found["log_loss"], theirs.log_loss(t, p))
    assert found["calibration"]["of"] == words
    same([b["actual"] for b in found["calibration"]["bins"]], m.calibration(t, p).actual)


def test_a_report_of_labels_has_a_row_for_each_and_probabilities_of_all(theirs):
    rng = np.random.default_rng(4)
    t, z = rng.integers(0, 2, (40, 3)), rng.standard_normal((40, 3)).round(1)
    t[:, 2] = 0
    found = m.report(z, t, loss="binary_cross_entropy", names=["a", "b", "c"])
    for i, row in enumerate(found["each"]):
        same(row["precision"], theirs.precision_score(t[:, i], z[:, i] > 0))
        same(row["recall"], theirs.recall_score(t[:, i], z[:, i] > 0))
        same(row["support"], t[:, i].sum())
    same(found["each"][0]["roc_auc"], theirs.roc_auc_score(t[:, 0], z[:, 0]))
    same(found["each"][1]["average_precision"], theirs.average_precision_score(t[:, 1], z[:, 1]))
    assert found["each"][2]["roc_auc"] is found["each"][2]["average_precision"] is None
    p = 1 / (1 + np.exp(-z))
    same(found["brier"], np.mean((p - t) ** 2))
    same(found["log_loss"], theirs.log_loss(t.ravel(), p.ravel()))
    same(found["accuracy"], np.mean((z > 0) == t))
    w = rng.random(40)
    weighted = m.report(z, t, loss="binary_cross_entropy", sample_weight=w)
    same(weighted["accuracy"], np.average(((z > 0) == t).mean(axis=1), weights=w))
    same(weighted["brier"], np.average(((p - t) ** 2).mean(axis=1), weights=w))
    same(weighted["each"][0]["recall"], theirs.recall_score(t[:, 0], z[:, 0] > 0, sample_weight=w))


@pytest.mark.parametrize("loss", ["mse", "gaussian_nll", "poisson"])
def test_a_report_of_numbers_has_a_row_for_each_column(theirs, loss):
    rng = np.random.default_rng(5)
    t, z = rng.standard_normal((30, 2)) + 3, rng.standard_normal((30, 4 if loss == "gaussian_nll" else 2))
    p = np.exp(z) if loss == "poisson" else z[:, :2]
    w = rng.random(30)
    found = m.report(z, t, loss=loss, names=["a", "b"], sample_weight=w)
    assert [row["name"] for row in found["columns"]] == ["a", "b"]
    for i, row in enumerate(found["columns"]):
        same(row["rmse"], np.sqrt(np.average((t[:, i] - p[:, i]) ** 2, weights=w)))
        same(row["mae"], np.average(np.abs(t[:, i] - p[:, i]), weights=w))
        same(row["r2"], theirs.r2_score(t[:, i], p[:, i], sample_weight=w))
        same(row["median_error"], m.median_error(t[:, i], p[:, i], sample_weight=w))
    assert m.report(z[:1], t[:1], loss=loss)["columns"][0]["r2"] is None


def test_what_is_not_defined_for_these_rows_is_none():
    found = m.report([[1.0, 2.0]], [1], loss="cross_entropy")
    assert found["binary"]["roc_auc"] is None
    assert found["binary"]["average_precision"] == 1.0
    assert m.report([[1.0, 2.0]], [0], loss="cross_entropy")["binary"]["average_precision"] is None


def test_many_classes_have_mistakes_and_no_matrix():
    t = np.arange(101)
    z = np.eye(101)
    z[7] = z[9]
    found = m.report(z, t, loss="cross_entropy")
    assert found["confusion"] is None
    assert found["mistakes"] == [{"class": "7", "taken_for": "9", "rows": 1}]
    assert found["each"][9]["precision"] == 0.5
