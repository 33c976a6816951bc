"""What columns are worth to estimators, against tables that are really shuffled and scikit-learn's own dependence."""

import datetime

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.inspection import partial_dependence, permutation_importance

import fastbp as fb
from fastbp.errors import DataWarning
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.train.explain import ALL, shuffle

pl = pytest.importorskip("polars")

RNG = np.random.default_rng(5)
N = 300
CITY = np.array(["Oslo", "Rome", "Bern", "Wien"])[RNG.integers(4, size=N)]
AGE = RNG.normal(40.0, 12.0, size=N)
AGE[::11] = np.nan
DAY = [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(d)) for d in RNG.integers(300, size=N)]
TABLE = pl.DataFrame({"city": CITY.tolist(), "age": AGE, "day": DAY, "noise": RNG.normal(size=N)})
YES = (np.nan_to_num(AGE, nan=30.0) > 40.0) != (CITY == "Rome")
PAID = np.nan_to_num(AGE, nan=30.0) + 20.0 * (CITY == "Rome")
KW = {"hidden": (16,), "epochs": 25, "random_state": 0, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def classifier():
    with pytest.warns(DataWarning, match="column `day` has dates"):
        return MLPClassifier(**KW, encode="embedding").fit(TABLE, np.where(YES, "yes", "no"))


@pytest.fixture(scope="module")
def regressor():
    with pytest.warns(DataWarning, match="column `day` has dates"):
        return MLPRegressor(**KW, n_cv=3).fit(TABLE, PAID)


@pytest.mark.parametrize("of", ["classifier", "regressor"])
def test_importance_is_what_the_score_loses_where_a_column_of_the_table_is_shuffled(of, request):
    model = request.getfixturevalue(of)
    y = np.where(YES, "yes", "no") if of == "classifier" else PAID
    weight = RNG.random(N) + 0.5
    found = fb.importance(model, TABLE, y, repeats=2, seed=4, sample_weight=weight)
    assert found.metric == ("accuracy" if of == "classifier" else "r2")
    assert found.columns == TABLE.columns
    assert (found.rows, found.of) == (N, N)
    assert found.score == pytest.approx(model.score(TABLE, y, weight), rel=1e-6)
    for c, name in enumerate(TABLE.columns):
        for repeat in range(2):
            mixed = TABLE.with_columns(TABLE[name][shuffle(N, 4, c, repeat).tolist()])
            assert found.drops[c, repeat] == pytest.approx(found.score - model.score(mixed, y, weight), abs=1e-6)
    assert {found.columns[i] for i in np.argsort(-found.mean)[:2]} == {"city", "age"}


def test_scikit_learns_own_importance_takes_our_estimators_and_tables(classifier):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({name: TABLE[name].to_list() for name in TABLE.columns})
    worth = permutation_importance(classifier, table, np.where(YES, "yes", "no"), random_state=0, n_repeats=3)
    ours = fb.importance(classifier, TABLE, np.where(YES, "yes", "no"), repeats=20)
    assert worth.importances_mean == pytest.approx(ours.mean, abs=0.08)


def test_some_columns_and_some_rows_are_looked_at_where_so_many_are_asked_for(regressor):
    found = fb.importance(regressor, TABLE, PAID, "rmse", columns=["age"], rows=100, seed=3)
    chosen = np.sort(shuffle(N, 3, ALL, 0)[:100])
    assert (found.rows, found.of, found.columns) == (100, N, ["age"])
    assert len(set(chosen.tolist())) == 100
    error = regressor.predict(TABLE[chosen.tolist()]) - PAID[chosen]
    assert found.score == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert found.mean[0] > 1.0


def test_bits_do_not_depend_on_threads(classifier):
    y = np.where(YES, "yes", "no")
    found = [fb.importance(classifier.set_params(n_threads=n), TABLE, y, "log_loss").drops.tobytes() for n in (1, 2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_dependence_is_scikit_learns_partial_dependence_of_the_same_values(kind):
    X = np.random.default_rng(0).normal(size=(150, 3))
    y = X[:, 0] * X[:, 1] + X[:, 2]
    model = kind(**KW).fit(X, y if kind is MLPRegressor else (y > 0).astype(int))
    found = fb.dependence(model, X, 1, points=7)
    assert found.kind == "numbers"
    assert found.values == np.sort(X[:, 1])[np.round(np.linspace(0, 1, 7) * 149).astype(int)].tolist()
    nearest = np.abs(X[:, 1:2] - np.array(found.values)).argmin(axis=1)
    assert found.counts == np.bincount(nearest, minlength=7).tolist()
    theirs = partial_dependence(model, X, [1], kind="both", custom_values={1: np.array(found.values)})
    at = 0 if kind is MLPRegressor else 1
    curves = theirs["individual"][0].T
    assert found.mean[:, at] == pytest.approx(theirs["average"][0], rel=1e-5, abs=1e-6)
    assert np.stack([found.low, found.high])[:, :, at] == pytest.approx(
        np.quantile(curves, [0.1, 0.9], axis=1), abs=1e-5
    )
    bends = curves - curves.mean(axis=0)
    assert found.bend[:, at] == pytest.approx(bends.std(axis=1), abs=1e-5)
    assert found.outputs == (["target"] if kind is MLPRegressor else ["target = 0", "target = 1"])
    assert found.shown == ([0] if kind is MLPRegressor else [1])


def test_a_column_that_acts_alike_on_every_row_has_no_bend_and_one_that_does_nothing_no_range():
    net = fb.Network([fb.Linear(1)], inputs=3)
    net.parameters["0.weight"], net.parameters["0.bias"] = [[2.0], [-1.0], [0.0]], [0.0]
    X = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    found = fb.dependence(net, X, 0, points=5, loss="mse")
    assert found.bend.max() < 1e-6
    assert found.mean[:, 0] == pytest.approx(2.0 * np.array(found.values) - X[:, 1].mean(), abs=1e-5)
    assert fb.dependence(net, X, 2, loss="mse").range.tolist() == [0.0]


def test_categories_dates_and_missing_values_are_values_of_the_table(classifier):
    city = fb.dependence(classifier, TABLE, "city", points=3)
    counts = {name: int((name == CITY).sum()) for name in set(CITY.tolist())}
    ranks = sorted(sorted(counts), key=lambda name: -counts[name])
    assert (city.kind, city.values, city.more) == ("categories", ranks[:3], 1)
    assert city.counts == [counts[name] for name in ranks[:3]]
    age = fb.dependence(classifier, TABLE, "age", points=4)
    assert age.values[-1] is None
    assert age.counts[-1] == len(AGE[::11])
    assert sum(age.counts) == N
    day = fb.dependence(classifier, TABLE, "day", points=3)
    assert day.values == [str(np.sort(np.array(DAY))[at]) for at in (0, round(0.5 * (N - 1)), N - 1)]
    for found, column, values in ((city, "city", city.values), (age, "age", age.values), (day, "day", None)):
        dates = None if values else [datetime.date.fromisoformat(text) for text in day.values]
        for value, mean in zip(values or dates, found.mean, strict=True):
            one = TABLE.with_columns(pl.Series(column, [value] * N, dtype=TABLE[column].dtype))
            assert mean == pytest.approx(classifier.predict_proba(one).mean(axis=0), abs=1e-6)


def test_blocks_of_values_change_no_bit(classifier, monkeypatch):
    from fastbp.runs import dependence

    whole = fb.dependence(classifier, TABLE, "age")
    monkeypatch.setattr(dependence, "AT_ONCE", 2 * N + 1)
    assert fb.dependence(classifier, TABLE, "age").data() == whole.data()


def test_categories_that_training_did_not_see_are_shown_as_they_are(classifier):
    new = TABLE.with_columns(pl.Series("city", ["Lund"] * 200 + CITY[200:].tolist()))
    found = fb.dependence(classifier, new, "city")
    assert found.values[0] == "Lund"
    assert found.counts[0] == 200


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: fb.importance(m, TABLE), "`y` must be given for an estimator, got `None`"),
        (lambda m: fb.importance(m, TABLE, np.where(YES, "yes", "no"), columns="age"),
         "`columns` must be a list of names, got `'age'`"),
        (lambda m: fb.importance(m, TABLE, np.where(YES, "yes", "no"), columns=["agee"]),
         "`columns` must be one of `city`, `age`, `day`, `noise`, got `agee`\nhint: did you mean `age`?"),
        (lambda m: fb.importance(m, TABLE, np.where(YES, "yes", "no"), rows=0), "`rows` must be at least 1, got `0`"),
        (lambda m: fb.importance(m, TABLE, np.where(YES, "yes", "no"), loss="mse"),
         "`loss` must be left out for an estimator, which has its own, got `'mse'`"),
        (lambda m: fb.dependence(m, TABLE, "town"),
         "`column` must be one of `city`, `age`, `day`, `noise`, got `town`"),
        (lambda m: fb.dependence(m, TABLE, "age", points=1), "`points` must be at least 2, got `1`"),
        (lambda m: fb.dependence(object(), TABLE, "age"),
         "`model` must be a network, a pack, an ensemble or an estimator of fastbp, got `object`\n"
         "hint: `sklearn.inspection` takes any estimator"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_one_sentence(call, message, classifier):
    with pytest.raises(fb.FastbpError) as raised:
        call(classifier)
    assert str(raised.value) == message
