"""Recipes as plain data: what NumPy makes of it is what they make themselves, to the bit."""

import dataclasses
import json
import warnings

import numpy as np
import pytest

from fastbp.data.categories import Category
from fastbp.data.columns import Reading
from fastbp.data.dates import Dates
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.raw import Raw
from fastbp.data.recipe import Recipe
from fastbp.data.tables import frame_of
from fastbp.data.transforms import Transform
from fastbp.data.words import Words
from fastbp.errors import ConfigError, DataError
from fastbp.export.prepared import prepared, raw_rows, told
from fastbp.export.recipe import preprocessing_of
from fastbp.export.steps import Raw as Given
from tests.export.recipes import frame, recipe

RNG = np.random.default_rng(5)
N = 400
SCALES = ("auto", "standard", "robust", "quantile", "noisy_quantile", "none")


def numbers(n=N):
    found = np.exp(RNG.normal(3.0, 2.0, n)).round(2)
    found[RNG.integers(n, size=n // 10)] = np.nan
    found[RNG.integers(n, size=n // 10)] = 7.0
    return found


def days(n=N):
    found = np.datetime64("1890-01-01", "us") + RNG.integers(0, 200 * 365 * 86_400_000_000, n).astype("timedelta64[us]")
    found[RNG.integers(n, size=n // 10)] = "NaT"
    return found


def texts(values, n=N):
    return RNG.choice(np.array(values, object), n)


def table(n=N):
    city = texts(["Oslo", "Rome", "Bern", "", "Ulm", "NA", None], n)
    return {
        "price": numbers(n),
        "city": city,
        "code": texts(["10", "10.0", "20", "1e2", "-3", " 20 ", "x", "7.5"], n),
        "zip": texts(["01067", "80331", "1067"], n),
        "truth": texts(["True", "False", ""], n),
        "when": days(n),
        "serial": RNG.integers(-50_000, 50_000, n).astype(float),
        "note": texts(["A red Zoë's car", "", "the car, the CAR and 2 more", "rouge"], n),
    }


def compared(made, rows, dtype=np.float32, **options):
    """What the recipe makes of rows, and what its plain data does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(made.matrix(frame(made, rows), dtype))
    said = preprocessing_of(made, dtype, **options)
    json.dumps(dataclasses.asdict(said))  # it is plain
    assert said.width == expected.shape[1] == made.inputs.width
    found = prepared(said, raw_rows(said, rows))
    assert found.dtype == expected.dtype
    return found, expected


def same(made, rows, **options):
    found, expected = compared(made, rows, **options)
    assert found.tobytes() == expected.tobytes()
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("missing", ["mean", "median", "constant"])
@pytest.mark.parametrize("scale", SCALES)
def test_numbers_are_filled_flagged_and_scaled(scale, missing, indicator, dtype):
    made = recipe([Numbers("price", scale, missing, 2.5, indicator)], table())
    assert len(same(made, table(), dtype=dtype)[0]) == 1 + indicator


@pytest.mark.parametrize("scale", SCALES)
def test_the_columns_of_a_matrix_have_their_own_scales_and_flags(scale):
    from fastbp.data.frame import Frame

    def rows(n=N):
        found = np.stack([numbers(n), RNG.normal(size=n), np.full(n, 3.0), RNG.normal(size=n) + 9.0], axis=1)
        return np.hstack([found, numbers(n)[:, None], RNG.normal(size=(n, 2))])

    made = Recipe(Inputs([Numbers(None, scale, "mean", indicator=True)]), Outputs("numbers", ["y"], ["y"]), "mse")
    made.inputs.fit(Frame(rows(), {}, "X"))
    if scale == "auto":
        assert made.inputs.parts[0].scale == ["quantile", *["standard"] * 3, "quantile", *["standard"] * 2]
    x = rows()
    said = preprocessing_of(made, np.float32)
    assert said.raws == (Given("x", "number", 7),)
    expected = made.matrix(Frame(x, {}, "X"), np.float32)
    assert expected.shape == (N, 9)
    assert prepared(said, {"x": x}).tobytes() == expected.tobytes()


@pytest.mark.parametrize("scale", ["none", "robust"])
@pytest.mark.parametrize("frequency", [1, 70])
@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
@pytest.mark.parametrize("name", ["city", "code", "zip", "truth"])
def test_categories_are_codes_whatever_their_texts_are(name, encode, frequency, scale):
    made = recipe([Category(name, encode, frequency, scale=scale)], table())
    rows = table()
    same(made, rows)
    rows[name] = np.concatenate([rows[name], np.array(["10.00", "Paris", "true", "1e1", "0", "2E1", "01067 "], object)])
    same(made, {name: rows[name]})


@pytest.mark.parametrize("encode", ["one_hot", "embedding"])
def test_values_of_categories_may_be_numbers(encode):
    rows = {"n": RNG.choice([1.0, 2.0, 7.5, np.nan, -4.0], N)}
    made = recipe([Category("n", encode, 90)], rows)
    rows["n"] = np.append(rows["n"], [3.0, -0.0, 1e300, 7.5])
    found = same(made, rows, numbers=["n"])
    assert found.tobytes() == compared(made, rows)[0].tobytes()


def test_numbers_that_stand_for_truth_are_its_codes():
    made = recipe([Category("t", "one_hot")], {"t": np.array(["True", "False"] * 9, object)})
    said = preprocessing_of(made, np.float32, numbers=["t"])
    x = prepared(said, {"t": np.array([0.0, 1.0, 2.0, np.nan])})
    assert x.tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_columns_of_an_array_are_those_of_one_matrix():
    rows = {"x0": numbers(), "x1": RNG.choice([1.0, 2.0, np.nan], N), "x2": RNG.normal(size=N)}
    parts = [Numbers("x0", "auto", "mean"), Category("x1", "one_hot"), Numbers("x2", "auto", "mean")]
    made = recipe(parts, rows)
    said = preprocessing_of(made, np.float32, matrix=True)
    assert said.raws == (Given("x", "number", 3),)
    found = prepared(said, {"x": np.stack(list(rows.values()), axis=1)})
    assert found.tobytes() == same(made, rows).tobytes()


@pytest.mark.parametrize("scale", ["standard", "quantile", "noisy_quantile"])
@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("indicator", [False, True])
def test_dates_are_numbers_and_cycles(indicator, missing, scale):
    made = recipe([Dates("when", missing=missing, indicator=indicator, numbers=Numbers(None, scale, missing))], table())
    assert made.inputs.width == 14 + indicator
    rows = {"when": np.concatenate([days(), np.array(["0001-01-01", "9999-12-31T23:59:59", "2000-02-29"], "M8[us]")])}
    same(made, rows)


@pytest.mark.parametrize("unit", ["d", "s", "ms"])
def test_dates_may_be_numbers_of_a_unit(unit):
    made = recipe([Dates("serial", unit)], table())
    same(made, {"serial": np.array([0.0, 0.5, -1e4, np.nan, 12345.678])})


def test_dates_may_be_numbers_of_digits():
    rows = {"d": np.array([20240229.0, 19991231.0, 20000101.0, np.nan, 20240701.0])}
    same(recipe([Dates("d", "ymd")], rows), rows)


@pytest.mark.parametrize("size", [7, 256])
def test_words_are_counted(size):
    same(recipe([Words("note", size)], table()), table())


def test_parts_stand_side_by_side_in_the_order_of_the_recipe():
    made = recipe(
        [
            Numbers("price", "auto", "mean", indicator=True),
            Category("city", "one_hot", 60),
            Dates("when", missing="median"),
            Category("code", "embedding"),
            Words("note", 16),
            Category("truth", "one_hot", scale="robust"),
        ],
        table(),
    )
    same(made, table())
    said = preprocessing_of(made, np.float32)
    assert [(raw.name, raw.kind) for raw in said.raws] == [
        ("price", "number"),
        ("city", "text"),
        ("when", "moment"),
        ("code", "text"),
        ("note", "text"),
        ("truth", "text"),
    ]


def test_numbers_that_stand_for_none_are_missing():
    raw = Raw(missing=["-999", "none of these"])
    made = recipe([Numbers("price", "standard", "mean", indicator=True), Category("city", "one_hot")], table(), raw=raw)
    said = preprocessing_of(made, np.float32)
    found = prepared(said, {"price": [np.nan, -999.0, 5.0], "city": ["none of these", "", "Rome"]})
    assert found[0].tobytes() == found[1].tobytes()
    assert found[:, 1].tolist() == [1, 1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("transform", ["none", "log", "log1p", "sqrt", "quantile"])
@pytest.mark.parametrize("loss", ["mse", "gaussian_nll", "poisson"])
def test_outputs_are_numbers_in_the_units_of_the_table(loss, transform, shift, scaled, clamped, dtype):
    y = {"a": np.exp(RNG.normal(size=N)) + shift, "b": RNG.integers(1, 9, N).astype(float)}
    outputs = Outputs("numbers", ["a", "b"], transforms=[Transform(transform), Transform()])
    outputs.fit(frame_of(y, Reading()), scaled, clamped)
    made = recipe([Numbers("price", "standard", "mean")], table(), outputs, loss)
    z = RNG.normal(size=(50, 4 if loss == "gaussian_nll" else 2)).astype(dtype) * 3
    expected = made.predictions(z)
    found = told(preprocessing_of(made, dtype).outcome, z)
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert (found[name].dtype, found[name].tobytes()) == (column.dtype, column.tobytes()), name


@pytest.mark.parametrize(("task", "loss", "width"), [("classes", "cross_entropy", 3), ("classes", "cross_entropy", 1)])
def test_outputs_are_classes_and_their_probabilities(task, loss, width):
    outputs = Outputs(task, ["kind"], ["a", "b", "c"][: max(width, 2)])
    made = recipe([Numbers("price", "standard", "mean")], table(), outputs, loss)
    z = np.append(RNG.normal(size=(50, width)), np.zeros((1, width)), axis=0).astype(np.float32)
    expected = made.predictions(z, probabilities=True)
    found = told(preprocessing_of(made, np.float32).outcome, z)
    assert list(found) == list(expected)
    assert all(found[name].tolist() == column.tolist() for name, column in expected.items())


def test_outputs_are_labels_and_their_probabilities():
    outputs = Outputs("labels", ["p", "q"], ["p", "q"])
    made = recipe([Numbers("price", "standard", "mean")], table(), outputs, "binary_cross_entropy")
    z = np.append(RNG.normal(size=(50, 2)), np.zeros((1, 2)), axis=0).astype(np.float32)
    expected = made.predictions(z, probabilities=True)
    found = told(preprocessing_of(made, np.float32).outcome, z)
    assert list(found) == list(expected)
    assert all(found[name].tolist() == column.tolist() for name, column in expected.items())


def test_what_a_recipe_refuses_is_refused():
    said = preprocessing_of(recipe([Numbers("price", "standard", "mean")], table()), np.float32)
    with pytest.raises(DataError, match="numbers must be finite or missing"):
        prepared(said, {"price": [np.inf]})
    with pytest.raises(DataError, match="row 1 must fit into `float32` when it is scaled"):
        prepared(said, {"price": [1.0, 1e300]})
    made = recipe([Numbers("price", "standard", "refuse")], {"price": np.arange(9.0)})
    with pytest.raises(DataError, match=r"numbers must be finite$"):
        prepared(preprocessing_of(made, np.float32), {"price": [np.nan]})
    made = recipe([Dates("serial", "d")], table())
    for value in (np.inf, 1e300, 1e7, -719_164.0):
        with pytest.raises(DataError, match=r"must be (finite|between the years 1 and 9999) or missing"):
            prepared(preprocessing_of(made, np.float32), {"serial": [value]})
        with pytest.raises(DataError):
            made.matrix(frame(made, {"serial": np.array([value])}), np.float32)
    made = recipe([Dates("d", "ymd", missing="refuse")], {"d": np.array([20240101.0, 20240701.0])})
    for value in (20230229.0, 20241301.0, 2024.0, 20240101.5, np.nan):
        with pytest.raises(DataError, match="moments must be between the years 1 and 9999"):
            prepared(preprocessing_of(made, np.float32), {"d": [value]})
        with pytest.raises(DataError):
            made.matrix(frame(made, {"d": np.array([value])}), np.float32)
    with pytest.raises(DataError, match="`rows` must have a column `price`"):
        raw_rows(said, {"prize": [1.0]})


def test_a_column_whose_values_are_numbers_must_be_one_of_categories():
    made = recipe([Numbers("price", "standard", "mean"), Category("city", "one_hot")], table())
    with pytest.raises(ConfigError) as error:
        preprocessing_of(made, np.float32, numbers=["prise"])
    assert str(error.value) == "`numbers` must be one of `city`, got `prise`"


def test_columns_of_texts_and_dates_are_no_columns_of_an_array():
    made = recipe([Numbers("price", "standard", "mean"), Dates("when")], table())
    with pytest.raises(ConfigError) as error:
        preprocessing_of(made, np.float32, matrix=True)
    assert str(error.value) == "`matrix` must be False, as column `when` has moments, got `True`"


def test_every_step_is_run_by_numpy_and_written_as_onnx_and_c():
    from fastbp.export import prepared as twin
    from fastbp.export.in_c import tables as in_c
    from fastbp.export.in_onnx import outcome, tables
    from fastbp.export.steps import Count, Ending, Exp, First, Step

    assert set(twin.STEPS) == set(Step.__args__)
    assert set(tables.STEPS) == set(in_c.STEPS) == set(Step.__args__) - {Count}
    assert set(twin.ENDINGS) == set(Ending.__args__)
    assert set(outcome.ENDINGS) == set(Ending.__args__) - {Exp, First}  # which the gates of a loss have
