"""Tables with names and types, which the command line's preprocessing turns into inputs."""

import os
import re
import subprocess
import sys
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

pytest.importorskip("sklearn")
import fastbp as fb
from fastbp.data.columns import Reading
from fastbp.data.frame import Frame
from fastbp.data.tables import frame_of
from fastbp.errors import DataError, DataWarning
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.spec.bins import QuantileBins

pl = pytest.importorskip("polars")

RNG = np.random.default_rng(2)
N = 120
CITY = np.array(["Oslo", "Rome", "Bern"])[RNG.integers(3, size=N)]
AGE = RNG.normal(40.0, 12.0, size=N)
MEMBER = RNG.integers(2, size=N).astype(bool)
PAID = 3.0 * (CITY == "Rome") + 0.1 * AGE + 2.0 * MEMBER
COLUMNS = {"city": CITY.tolist(), "age": AGE, "member": MEMBER}
KW = {"hidden": (16,), "epochs": 60, "random_state": 0, "learning_rate": 1e-2}


def polars_table(columns):
    return pl.DataFrame(columns)


def pandas_table(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def arrow_table(columns):
    return pytest.importorskip("pyarrow").table({k: np.asarray(v) if k != "city" else v for k, v in columns.items()})


MAKERS = [polars_table, pandas_table, arrow_table]


@pytest.mark.parametrize("table", MAKERS)
def test_categories_and_booleans_are_inputs_of_every_kind_of_table(table):
    found = MLPRegressor(**KW).fit(table(COLUMNS), PAID)
    assert found.feature_names_in_.tolist() == ["city", "age", "member"]
    assert found.n_features_in_ == 3
    assert found.coefs_[0].shape == (3 + 1 + 2, 16)
    assert found.score(table(COLUMNS), PAID) > 0.95
    same = MLPRegressor(**KW).fit(polars_table(COLUMNS), PAID)
    assert same.predict(polars_table(COLUMNS)).tobytes() == found.predict(table(COLUMNS)).tobytes()


def test_a_categorical_type_makes_categories_of_numbers():
    pd = pytest.importorskip("pandas")
    zone = RNG.integers(4, size=N)
    table = pd.DataFrame({"zone": pd.Categorical(zone), "age": AGE})
    found = MLPRegressor(**KW).fit(table, zone == 2)
    assert found.coefs_[0].shape[0] == 5
    assert found.score(table, zone == 2) > 0.95
    plain = pd.DataFrame({"zone": zone, "age": AGE})
    for chosen in (["zone"], [0], [True, False]):
        other = MLPRegressor(**KW, categorical_features=chosen).fit(plain, zone == 2)
        assert other.predict(plain).tobytes() == found.predict(table).tobytes()
    assert MLPRegressor(**KW).fit(plain, zone == 2).coefs_[0].shape[0] == 2


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_categories_of_long_whole_numbers_are_told_apart(typed, gone, tmp_path):
    pd = pytest.importorskip("pandas")
    shop = RNG.integers(4, size=N)
    there = RNG.uniform(size=N) > 0.2 * gone
    column = pd.Series(2**60 + shop, dtype="Int64" if gone else "int64").where(there)
    table = pd.DataFrame({"shop": column.astype("category") if typed else column, "age": AGE})
    chosen = "from_dtype" if typed else ["shop"]
    found = MLPClassifier(**KW, categorical_features=chosen).fit(table[there], (shop == 2)[there])
    assert found.recipe_.inputs.categories[0].values == [str(2**60 + i) for i in range(4)]
    assert found.score(table[there], (shop == 2)[there]) == 1.0
    found = MLPClassifier(**KW, categorical_features=chosen).fit(table, shop == 2)
    assert found.score(table[there], (shop == 2)[there]) == 1.0
    found.save(tmp_path / "shops.safetensors")
    table.to_csv(tmp_path / "shops.csv", index=False)
    said = fb.load(tmp_path / "shops.safetensors").predict(tmp_path / "shops.csv")["target"]
    assert said.tolist() == [str(one) for one in found.predict(table)]


def test_long_codes_beside_missing_ones_are_told_apart_in_tables_of_other_libraries():
    pa = pytest.importorskip("pyarrow")
    codes = [None if i % 5 == 0 else 2**60 + i % 4 for i in range(N)]
    shop = np.array([i % 5 > 0 and i % 4 == 2 for i in range(N)])
    for table in (pl.DataFrame({"shop": codes, "age": AGE}), pa.table({"shop": codes, "age": AGE})):
        found = MLPClassifier(**KW, categorical_features=["shop"]).fit(table, shop)
        assert found.recipe_.inputs.categories[0].values == [str(2**60 + i) for i in range(4)]
        assert found.score(table, shop) == 1.0


@pytest.mark.parametrize("typed", [False, True])
def test_categories_that_are_written_like_numbers_stay_texts(typed):
    pd = pytest.importorskip("pandas")
    off = np.array(["5%", "10%", "1,200"])[RNG.integers(3, size=N)]
    table = pd.DataFrame({"off": pd.Categorical(off) if typed else off, "age": AGE})
    found = MLPClassifier(**KW, categorical_features="from_dtype" if typed else ["off"]).fit(table, off == "10%")
    assert found.recipe_.inputs.categories[0].values == ["1,200", "10%", "5%"]
    assert found.score(table, off == "10%") == 1.0


def test_numbers_in_texts_are_read_as_those_of_training():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"age": [f"{age:.3f}".replace(".", ",") for age in AGE]})
    found = MLPRegressor(**KW).fit(table, AGE)
    assert found.score(table, AGE) > 0.95
    assert found.predict(table[:1]) == found.predict(table)[:1]  # which alone may be read as thousands


def test_long_codes_in_an_array_are_refused():
    rows = np.column_stack([2**53 + np.arange(N) % 4, np.arange(N)])
    message = (
        "`X` must be a table where categories are numbers from 2⁵³ on, of which an array has several as one,"
        f" got `{2**53}` in `x0`"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        MLPClassifier(**KW, categorical_features=[0]).fit(rows, rows[:, 0] % 2)
    MLPClassifier(**KW, categorical_features=[1]).fit(rows[:, ::-1] % 2**53, np.arange(N) % 2)


@pytest.mark.parametrize("chosen", [[0], [-2], np.array([0]), [True, False], np.array([True, False]), ["x0"]])
@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_columns_of_an_array_are_categories_by_index_or_mask(chosen, encode):
    zone = RNG.integers(4, size=N) + 5
    array, table = np.column_stack([zone, AGE]), polars_table({"zone": zone.astype(str), "age": AGE})
    named = MLPRegressor(**KW, encode=encode).fit(table, zone == 7)
    found = MLPRegressor(**KW, encode=encode, categorical_features=chosen).fit(array, zone == 7)
    assert found.loss_curve_ == named.loss_curve_
    assert found.predict(array).tobytes() == named.predict(table).tobytes()
    assert not hasattr(found, "feature_names_in_")
    new = np.array([[11.0, 40.0], [np.nan, 40.0]])
    with pytest.warns(DataWarning, match="X: column `x0` has values that training did not see in 1 of 2 rows") as said:
        first, second = found.predict(new)
    assert first == second  # a new code counts as none, as a missing one does
    assert said[0].filename == __file__


def test_codes_of_an_array_are_the_same_whatever_type_has_them():
    zone = RNG.integers(4, size=N)
    found = MLPRegressor(**KW, categorical_features=[0]).fit(np.column_stack([zone, zone]), AGE)
    for kind in ("uint8", "int64", "float32", "float64", object):
        other = MLPRegressor(**KW, categorical_features=[0]).fit(np.column_stack([zone, zone]).astype(kind), AGE)
        assert other.loss_curve_ == found.loss_curve_
        assert (
            other.predict(np.column_stack([zone, zone])).tobytes()
            == found.predict(np.column_stack([zone, zone]).astype(kind)).tobytes()
        )


def test_few_rows_of_an_array_with_categories_are_those_of_a_table():
    zone = np.array([1, 1, 2, 3] * 4)
    settings = {**KW, "min_frequency": 5, "epochs": 3}
    named = MLPRegressor(**settings).fit(polars_table({"zone": zone.astype(str)}), zone == 1)
    found = MLPRegressor(**settings, categorical_features=[0]).fit(zone[:, None], zone == 1)
    assert found.recipe_.inputs.parts[0].values == named.recipe_.inputs.parts[0].values == ["1"]
    assert found.loss_curve_ == named.loss_curve_


def test_a_file_of_an_array_with_categories_reads_them_by_the_names_of_scikit_learn(tmp_path):
    zone = RNG.integers(4, size=N)
    array = np.column_stack([AGE, zone])
    found = MLPRegressor(**KW, categorical_features=[1]).fit(array, PAID)
    found.save(tmp_path / "m.safetensors")
    guess = fb.load(tmp_path / "m.safetensors").predict({"x0": AGE, "x1": zone})["target"]
    assert guess == pytest.approx(found.predict(array), rel=1e-6)


@pytest.mark.parametrize("residual", [False, True])
def test_categories_become_rows_of_learned_tables_where_that_is_asked_for(residual, tmp_path):
    town = np.array([f"t{i % 13}" for i in range(N)])
    table = polars_table({**COLUMNS, "town": town})
    paid = PAID + (town == "t5")
    said = {**KW, "hidden": (16, 16), "epochs": 120, "residual": residual}
    found = MLPRegressor(**said, encode="embedding").fit(table, paid)
    tables = {name: shape for name, shape in shapes_of(found).items() if "column" in name}
    assert sorted(tables.values()) == [(3, 2), (4, 2), (14, 7)]
    assert found.coefs_[0].shape[0] == 2 + 1 + 2 + 7
    assert found.score(table, paid) > 0.95
    some = MLPRegressor(**said, encode="auto").fit(table, paid)
    assert [shape for name, shape in shapes_of(some).items() if "column" in name] == [(14, 7)]
    some.save(tmp_path / "some.safetensors")
    loaded = fb.load(tmp_path / "some.safetensors").predict(table)["target"]
    assert np.array_equal(loaded, some.predict(table).astype(np.float32))


def shapes_of(found):
    return {name: array.shape for name, array in found.network_.parameters.items()}


def test_bins_of_numbers_stand_behind_learned_tables_and_are_those_of_the_training_rows():
    table = polars_table(COLUMNS)
    said = {"encode": "embedding", "embed_numbers": {"name": "piecewise_linear", "bins": 3}}
    found = MLPRegressor(**KW, **said).fit(table, PAID)
    X = found.recipe_.inputs.matrix(frame_of(table, Reading()))
    tables, bins, *rest = (node.layer for node in found.network_.graph.nodes)
    assert (tables.kind, [layer.kind for layer in rest]) == ("embedding", ["linear", "relu", "linear"])
    assert bins == QuantileBins(3).layer(X, [1], [0, 2])
    assert list(bins.columns) == [0]
    net = fb.Network([tables, bins, fb.Linear(16), fb.ReLU(), fb.Linear(1)], inputs=3, seed=0)
    y = ((PAID - PAID.mean()) / PAID.std())[:, None]
    losses = fb.Trainer(net, "mse", fb.AdamW(lr=1e-2)).fit(X, y.astype(np.float32), epochs=60).loss
    assert found.loss_curve_ == losses
    assert found.loss_curve_ != MLPRegressor(**KW, encode="embedding").fit(table, PAID).loss_curve_


def test_numbers_of_an_array_have_bins_and_codes_and_two_values_none():
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(size=60), np.arange(60) % 3, np.arange(60) % 2], axis=1)
    said = {"categorical_features": [1], "embed_numbers": "piecewise_linear"}
    found = MLPRegressor(**KW, **said).fit(X, np.abs(X[:, 0]))
    bins = found.network_.graph.nodes[0].layer
    assert (list(bins.columns), bins.bins) == ([0], 48)
    assert clone(found).embed_numbers == "piecewise_linear"


def test_learned_tables_are_those_of_a_configuration():
    table = polars_table(COLUMNS)
    found = MLPRegressor(**KW, encode="embedding").fit(table, PAID)
    net = fb.Network(
        [fb.Embedding({0: (4, 2), 2: (3, 2)}, fb.Init("normal", 0.03)), fb.Linear(16), fb.ReLU(), fb.Linear(1)],
        inputs=3,
        seed=0,
    )
    X, y = found.recipe_.inputs.matrix(frame_of(table, Reading())), ((PAID - PAID.mean()) / PAID.std())[:, None]
    losses = fb.Trainer(net, "mse", fb.AdamW(lr=1e-2)).fit(X, y.astype(np.float32), epochs=60).loss
    assert found.loss_curve_ == losses


def test_rare_values_are_one_category_to_which_new_ones_go():
    city = np.where(np.arange(N) % 40 == 0, [f"c{i}" for i in range(N)], CITY)
    table = polars_table({"city": city, "age": AGE})
    found = MLPRegressor(**KW, min_frequency=5).fit(table, PAID)
    assert found.coefs_[0].shape[0] == 4 + 1
    new = polars_table({"city": ["Turin"], "age": [40.0]})
    with pytest.warns(DataWarning, match="column `city` has values that training did not see in 1 of 1 rows"):
        guess = found.predict(new)
    assert guess == found.predict(new.with_columns(city=pl.lit("c40")))


def test_many_columns_of_categories_are_said():
    table = polars_table({"name": [f"n{i}" for i in range(N)], "age": AGE})
    with pytest.warns(DataWarning) as said:
        MLPRegressor(**{**KW, "epochs": 1}).fit(table, PAID)
    assert [str(one.message) for one in said] == [
        "X: categories make 120 one-hot columns for 120 training rows: `name` 120\n"
        'hint: `encode="auto"` learns a table where a column has many, and `min_frequency` joins rare ones'
    ]
    MLPRegressor(**{**KW, "epochs": 1}, encode="auto").fit(table, PAID)


def test_missing_values_are_filled_in_columns_and_matrices():
    X = np.column_stack([AGE, PAID])
    gone = X.copy()
    gone[::7, 0] = np.nan
    filled = np.where(np.isnan(gone), np.nanmean(gone, axis=0), gone)
    here, there = MLPRegressor(**KW).fit(gone, PAID), MLPRegressor(**KW, missing="median").fit(gone, PAID)
    assert here.recipe_.inputs.matrix(Frame(gone)).tobytes() == here.recipe_.inputs.matrix(Frame(filled)).tobytes()
    assert there.recipe_.inputs.parts[0].fill[0] == np.nanmedian(gone[:, 0])
    cells = {"city": [None, *COLUMNS["city"][1:]], "age": [None, *AGE[1:]]}
    found = MLPRegressor(**KW).fit(polars_table(cells), PAID)
    row = polars_table({"city": [None], "age": [None]}).cast({"city": pl.String, "age": pl.Float64})
    inputs = found.recipe_.inputs.matrix(frame_of(row, Reading()))
    assert inputs[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert abs(inputs[0, 3]) < 1e-12


def test_dates_become_numbers_and_a_warning_says_how():
    days = [datetime(2024, 1, 1) + timedelta(days=3 * i) for i in range(N)]
    season = np.array([float(day.month in (6, 7, 8)) for day in days])
    said = "X: column `day` has dates, which become year, month, day of the year, weekday, hour and age as numbers"
    with pytest.warns(DataWarning, match=said) as told:
        found = MLPRegressor(**{**KW, "epochs": 200}).fit(pl.DataFrame({"day": days, "age": AGE}), season)
    assert [one.filename for one in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found.score(pl.DataFrame({"day": days, "age": AGE}), season) > 0.9


def test_a_category_that_training_did_not_see_is_said_and_counts_as_none():
    found = MLPRegressor(**KW).fit(polars_table(COLUMNS), PAID)
    new = polars_table({"city": ["Turin"], "age": [40.0], "member": [True]})
    with pytest.warns(DataWarning, match="column `city` has values that training did not see in 1 of 1 rows") as said:
        guess = found.predict(new)
    none = new.with_columns(city=pl.lit(None, dtype=pl.String))
    assert guess == found.predict(none)
    assert len(said) == 1
    with pytest.warns(DataWarning, match="in 30 of 30 rows"):  # many are no error, as in a fold of a search
        assert len(set(found.predict(pl.concat([new] * 30)))) == 1


@pytest.mark.parametrize("scale", ["standard", "robust", "quantile", "none"])
@pytest.mark.parametrize("missing", ["mean", "refuse"])
def test_an_array_in_order_is_read_as_one_that_is_looked_at(scale, missing):
    X = RNG.normal(size=(N, 3))
    model = MLPRegressor(**{**KW, "epochs": 2}, scale=scale, missing=missing).fit(X, X[:, 0])
    for dtype in ("float32", "float64"):
        rows = X.astype(dtype)
        want = model.predict(rows.astype(object))
        for same in (
            rows,
            np.asfortranarray(rows),
            np.repeat(rows, 2, axis=0)[::2],
            rows.astype(f">{rows.dtype.str[1:]}"),
        ):
            assert np.array_equal(model.predict(same), want)
    gap = X.copy()
    gap[4, 1] = np.nan
    far = X.copy()
    far[4, 1] = np.inf
    for wrong in (X[:, :2], X[:0], X[0], X[None], far, *([gap] if missing == "refuse" else [])):
        said = []
        for rows in (wrong, wrong.astype(object)):
            with pytest.raises(ValueError, match=r"\w") as error:
                model.predict(rows)
            said.append(str(error.value))
        assert said[0] == said[1]
    if missing == "mean":
        gap[4, 1] = X[:, 1].mean()
        filled = model.predict(gap)
        gap[4, 1] = np.nan
        assert np.array_equal(model.predict(gap), filled)


def test_an_array_is_read_by_the_order_of_columns():
    found = MLPRegressor(**KW).fit(polars_table(COLUMNS), PAID)
    array = np.column_stack([CITY.astype(object), AGE.astype(object), MEMBER.astype(object)])
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPRegressor was fitted with"):
        assert np.array_equal(found.predict(array), found.predict(polars_table(COLUMNS)))


@pytest.mark.parametrize("scale", ["auto", "standard", "robust", "quantile", "none"])
def test_scales_are_those_of_the_command_line(scale):
    X = np.column_stack([np.exp(3.0 * RNG.normal(size=N)), AGE])
    found = MLPRegressor(**KW, scale=scale).fit(X, AGE)
    part = found.recipe_.inputs.parts[0]
    assert part.scale == (["quantile", "standard"] if scale == "auto" else scale)


def test_scale_and_missing_hold_for_every_kind_of_column():
    days = [datetime(2024, 1, 1) + timedelta(days=3 * i) for i in range(N)]
    table = polars_table({"day": days, "age": AGE, "city": CITY})
    with pytest.warns(DataWarning):
        found = MLPRegressor(**{**KW, "epochs": 1}, scale="robust", missing="median", min_frequency=3).fit(table, PAID)
    day, age, city = found.recipe_.inputs.parts
    assert [(one.scale, one.missing) for one in (day.numbers, age)] == [("robust", "median")] * 2
    assert (day.missing, city.min_frequency, city.encode) == ("median", 3, "one_hot")
    with pytest.warns(DataWarning), pytest.raises(fb.DataError, match="X: row 2: column `day` must have a date"):
        MLPRegressor(**KW, missing="refuse").fit(table.with_columns(day=pl.Series([*days[:2], None, *days[3:]])), PAID)


def test_a_file_predicts_raw_tables_in_python_and_on_the_command_line(tmp_path):
    table = polars_table(COLUMNS)
    kind = np.where(np.median(PAID) < PAID, "much", "little")
    found = MLPClassifier(**KW).fit(table, pl.Series("spends", kind))
    found.save(tmp_path / "m.safetensors")
    table.write_csv(tmp_path / "table.csv")
    loaded = fb.load(tmp_path / "m.safetensors")
    assert loaded.predict(table)["spends"].tolist() == found.predict(table).tolist()
    chance = loaded.predict(str(tmp_path / "table.csv"), probabilities=True)
    assert np.allclose(chance["spends = much"], found.predict_proba(table)[:, 1], atol=1e-6)
    command = [sys.executable, "-m", "fastbp", "predict", "m.safetensors", "table.csv"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["spends", *found.predict(table).tolist()], done.stderr


@pytest.mark.parametrize("kind", ["numbers", "labels", "booleans", "matrix"])
def test_what_is_saved_predicts_the_same(kind, tmp_path):
    table = polars_table(COLUMNS)
    if kind == "numbers":
        found = MLPRegressor(**KW, loss="huber").fit(table, np.column_stack([PAID, AGE]))
        expected = found.predict(table)
    elif kind == "labels":
        found = MLPClassifier(**KW).fit(table, np.column_stack([MEMBER, CITY == "Rome"]).astype(int))
        expected = found.predict(table)
    elif kind == "booleans":
        found = MLPClassifier(**KW).fit(table, MEMBER)
        expected = found.predict(table).astype(str)[:, None]
    else:
        table = np.column_stack([AGE, PAID])
        found = MLPClassifier(**KW).fit(table, np.where(MEMBER, 5, 2))
        expected = found.predict(table).astype(str)[:, None]
    found.save(tmp_path / "m.safetensors")
    if kind == "matrix":
        np.save(tmp_path / "table.npy", table)
        table = str(tmp_path / "table.npy")
    columns = fb.load(tmp_path / "m.safetensors").predict(table)
    for i, column in enumerate(columns.values()):
        if expected.dtype.kind == "f":
            assert np.allclose(column, expected[:, i], rtol=1e-6)
        else:
            assert column.tolist() == expected[:, i].tolist()
    assert len(columns) == expected.shape[1]
