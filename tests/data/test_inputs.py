"""Columns to matrices: each scale against its formula, and nothing learned from other than training rows."""

import json
from statistics import NormalDist

import numpy as np
import pytest

from fastbp.data import numbers
from fastbp.data.categories import Category
from fastbp.data.dates import Dates
from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import IN_CACHE, QUANTILES, SCALES, Numbers
from fastbp.data.stored import Stored
from fastbp.errors import DataError

RNG = np.random.default_rng(0)
NAN = np.nan


def table(origin="t.csv", **columns):
    found = {}
    for name, values in columns.items():
        text = any(isinstance(v, str) for v in values)
        found[name] = Column(name, np.array(values, object if text else np.float64))
    rows = len(next(iter(columns.values())))
    return Frame(None, found, origin, np.arange(rows) + 2)


def fitted(frame, *parts):
    inputs = Inputs(list(parts))
    inputs.fit(frame)
    return inputs


def names(inputs):
    """What the columns of the matrix are."""
    found = []
    for part in inputs.parts:
        if isinstance(part, Category):
            found += [f"{part.name} = {v}" for v in part.values] if part.encode == "one_hot" else [part.name]
        else:
            own = [part.name] if part.name else [f"x{i}" for i in range(len(part.fill))]
            found += own + [f"{name} is missing" for name, hole in zip(own, part.holes, strict=True) if hole]
    assert len(found) == inputs.width
    return found


def message(call, *words):
    with pytest.raises(DataError) as caught:
        call(*words)
    return str(caught.value)


def standard(x, rows):
    return (rows - x.mean()) / x.std()


def robust(x, rows):
    low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
    c = (rows - middle) / (high - low)
    return c / np.sqrt(1 + (c / 3) ** 2)


def quantile(x, rows):
    steps = min(QUANTILES, len(x))
    knots = np.quantile(x, np.linspace(0, 1, steps))
    levels = np.array([NormalDist().inv_cdf((i + 0.5) / steps) for i in range(steps)])
    unique = np.unique(knots)
    return np.interp(rows, unique, [levels[knots == knot].mean() for knot in unique])


# `noisy_quantile` is in test_noisy.
FORMULAS = {"standard": standard, "robust": robust, "quantile": quantile, "none": lambda x, rows: rows}


@pytest.mark.parametrize("scale", FORMULAS)
@pytest.mark.parametrize("rows", [2, 3, 17, 1000, 1201])
@pytest.mark.parametrize("matrix", [False, True], ids=["columns", "matrix"])
def test_scales_are_their_formulas(scale, rows, matrix):
    X = RNG.normal(size=(rows, 3)) * (1, 1e-3, 1e4) + (0, 5, -1e5)
    other = np.concatenate([X, RNG.normal(size=(9, 3)) * (3, 1, 1e6)])
    if matrix:
        frames = [Frame(a, {}, "x.npy") for a in (X, other)]
        inputs = fitted(frames[0], Numbers(None, scale, "mean"))
    else:
        frames = [table(a=a[:, 0], b=a[:, 1], c=a[:, 2]) for a in (X, other)]
        inputs = fitted(frames[0], *(Numbers(n, scale, "mean") for n in "abc"))
    found = inputs.matrix(frames[1], np.float64)
    wanted = np.stack([FORMULAS[scale](X[:, i], other[:, i]) for i in range(3)], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)
    assert inputs.matrix(frames[1]).dtype == np.float32


@pytest.mark.parametrize("outlier", [1e9, -1e200])
def test_scaled_training_rows_are_standard_and_outliers_bounded(outlier):
    x = RNG.normal(size=5000)
    x[0] = outlier
    scales = FORMULAS if abs(outlier) < 1e100 else ("robust", "quantile")
    found = {s: fitted(f := table(a=x), Numbers("a", s, "mean")).matrix(f, np.float64) for s in scales}
    if "standard" in found:
        assert abs(found["standard"].mean()) < 1e-9
        assert abs(found["standard"].std() - 1) < 1e-9
    assert abs(found["robust"]).max() == abs(found["robust"][0]) == pytest.approx(3.0)
    assert abs(found["quantile"]).max() < 4.0


def test_equal_numbers_have_one_quantile():
    x = np.array([0.0] * 50 + [1.0] * 30 + list(np.linspace(2, 3, 20)))
    frame = table(a=x)
    found = fitted(frame, Numbers("a", "quantile", "mean")).matrix(frame, np.float64)[:, 0]
    assert len(set(found[:50].tolist())) == 1
    assert found[0] < found[50] < found[80]


@pytest.mark.parametrize(
    ("missing", "fill"), [("mean", 17 / 4), ("median", 2.5), ("constant", -7.0)], ids=["mean", "median", "constant"]
)
@pytest.mark.parametrize("scale", FORMULAS)
@pytest.mark.parametrize("matrix", [False, True], ids=["column", "matrix"])
def test_missing_numbers_are_filled_in_before_they_are_scaled(missing, fill, scale, matrix):
    x = np.array([1.0, NAN, 2.0, 3.0, NAN, 11.0])
    full = np.where(np.isnan(x), fill, x)
    frame = Frame(x[:, None], {}, "x.npy") if matrix else table(a=x)
    part = Numbers(None if matrix else "a", scale, missing, -7.0)
    found = fitted(frame, part).matrix(frame, np.float64)[:, 0]
    np.testing.assert_allclose(found, FORMULAS[scale](full, full), rtol=1e-12, atol=1e-12)


def test_missing_numbers_are_refused_where_that_is_asked_for():
    part = Numbers("a", "standard", "refuse")
    assert message(fitted, table(a=[1, NAN]), part) == "t.csv:3: column `a` must have a number"
    inputs = fitted(table(a=[1, 2]), Numbers("a", "standard", "refuse"))
    assert message(inputs.matrix, table("new.csv", a=[NAN])) == ("new.csv:2: column `a` must have a number")
    matrix = Frame(np.array([[1.0, 2], [3, NAN]]), {}, "x.npy")
    assert message(fitted, matrix, Numbers(None, "none", "refuse")) == ("x.npy: row 1: column `1` must have a number")


def test_an_indicator_stands_behind_columns_that_had_holes_in_training():
    X = np.array([[1.0, NAN, 3], [2, 5, NAN], [3, 6, 4]])
    inputs = fitted(Frame(X, {}, "x.npy"), Numbers(None, "none", "constant", 0.0, True))
    assert names(inputs) == ["x0", "x1", "x2", "x1 is missing", "x2 is missing"]
    found = inputs.matrix(Frame(np.array([[NAN, NAN, 1.0]]), {}, "y.npy"))
    assert found.tolist() == [[0, 0, 1, 1, 0]]
    column = fitted(table(a=[1, NAN]), Numbers("a", "standard", "mean", 0.0, True))
    assert names(column) == ["a", "a is missing"]
    assert fitted(table(a=[1, 2]), Numbers("a", "standard", "mean", 0.0, True)).width == 1


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("scale", SCALES)
def test_rows_are_scaled_in_pieces_that_no_result_depends_on(scale, large, monkeypatch):
    if large:
        monkeypatch.setattr(numbers, "CELLS", 0)
        monkeypatch.setattr(numbers, "FEW_CALLS", IN_CACHE // 2)
    rows, width = 3 * IN_CACHE // 4 + 5, 3
    X = RNG.normal(3.0, 2.0, (rows, width))
    X[RNG.random(X.shape) < 0.05] = NAN
    inputs = Inputs([Numbers(None, scale, "mean", 0.0, True)])
    inputs.fit(Frame(X, {}, "X"))
    whole = inputs.matrix(Frame(X, {}, "X"), np.float64)
    apart = [inputs.matrix(Frame(X[r : r + 1000], {}, "X"), np.float64) for r in range(0, rows, 1000)]
    assert whole.shape == (rows, 2 * width)
    assert np.isfinite(whole).all()
    assert whole.tobytes() == np.concatenate(apart).tobytes()
    X[IN_CACHE // width + 7, 1] = np.inf  # in the second piece
    with pytest.raises(DataError, match=f"row {IN_CACHE // width + 7}: column `1` must be finite, got `inf`"):
        inputs.matrix(Frame(X, {}, "X"))


@pytest.mark.parametrize("scale", ["standard", "robust", "quantile"])
@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0, -1e300])
def test_a_constant_column_becomes_zeros(scale, value):
    frame = table(a=[value] * 1000)
    inputs = fitted(frame, Numbers("a", scale, "mean"))
    assert not inputs.matrix(frame).any()


@pytest.mark.parametrize("scale", FORMULAS)
@pytest.mark.parametrize("missing", ["mean", "median", "constant"])
def test_a_column_of_nothing_becomes_a_constant(scale, missing):
    frame = table(a=[NAN] * 5)
    found = fitted(frame, Numbers("a", scale, missing)).matrix(frame)
    assert not found.any()


@pytest.mark.parametrize("scale", FORMULAS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_refused_in_training_and_after(scale, value):
    hint = f'if that is a missing number, `data.missing_texts: ["{value}"]` has it read so in training'
    wanted = f"t.csv:3: column `a` must be finite, got `{value}`\nhint: {hint}"
    assert message(fitted, table(a=[1, value, 2]), Numbers("a", scale, "mean")) == wanted
    inputs = fitted(table(a=[1, 2]), Numbers("a", scale, "mean"))
    assert message(inputs.matrix, table(a=[0, value])) == wanted
    X = np.array([[0, 1], [2, value]])
    assert message(fitted, Frame(X, {}, "x.npy"), Numbers(None, scale, "mean")) == (
        f"x.npy: row 1: column `1` must be finite, got `{value}`"
    )


@pytest.mark.parametrize("scale", ["standard", "robust", "quantile"])
def test_numbers_whose_spread_is_too_large_are_refused(scale):
    frame = table(a=[-1.5e308, 0.0, 1.7e308, 1.6e308, -1.6e308] * 5)
    assert message(fitted, frame, Numbers("a", scale, "mean")) == (
        "t.csv: column `a` must have numbers whose spread is finite, got `1.7e+308`"
    )


def test_numbers_that_do_not_fit_into_float32_are_refused_with_their_row():
    inputs = fitted(table(a=[1, 2]), Numbers("a", "none", "mean"))
    assert message(inputs.matrix, table(a=[1, 2, 1e39])) == (
        "t.csv:4: column `a` must fit into `float32` when it is scaled, got `1e+39`"
    )
    assert inputs.matrix(table(a=[1e39]), np.float64).tolist() == [[1e39]]


def test_categories_become_columns_in_the_order_of_their_letters():
    inputs = fitted(table(job=["cook", "baker", "cook"], a=[1, 2, 3]), Category("job", "one_hot"))
    assert names(inputs) == ["job = baker", "job = cook"]
    assert inputs.matrix(table(job=["cook", "smith", "baker"])).tolist() == [[0, 1], [0, 0], [1, 0]]


def test_missing_categories_are_zeros():
    frame = Frame(None, {"job": Column("job", np.array(["a", None, "b"], object))}, "t.csv")
    assert fitted(frame, Category("job", "one_hot")).matrix(frame).tolist() == [[1, 0], [0, 0], [0, 1]]
    assert fitted(frame, Category("job", "embedding")).matrix(frame).tolist() == [[1], [0], [2]]


@pytest.mark.parametrize(("frequency", "codes"), [(1, [1, 2, 2, 3, 3, 3]), (2, [3, 1, 1, 2, 2, 2]), (4, [1] * 6)])
def test_categories_of_few_rows_are_one(frequency, codes):
    frame = table(job=["a", "b", "b", "c", "c", "c"])
    inputs = fitted(frame, Category("job", "embedding", frequency))
    assert inputs.matrix(frame)[:, 0].tolist() == codes
    assert inputs.embeddings()[0][0] == max(codes) + 1
    one_hot = fitted(frame, Category("job", "one_hot", frequency))
    assert one_hot.matrix(frame).tolist() == np.eye(max(codes))[np.array(codes) - 1].tolist()


@pytest.mark.parametrize(("kinds", "size"), [(1, 1), (2, 2), (3, 2), (9, 5), (200, 50)])
def test_embeddings_have_a_row_for_each_value_and_one_for_the_rest(kinds, size):
    frame = table(a=[0.5] * kinds, job=[f"k{i:03}" for i in range(kinds)], last=["x"] * kinds)
    parts = (Numbers("a", "none", "mean"), Category("job", "embedding"), Category("last", "embedding", 1, 7))
    inputs = fitted(frame, *parts)
    assert inputs.embeddings() == {1: (kinds + 1, size), 2: (2, 7)}
    assert inputs.matrix(frame)[:, 1].tolist() == list(range(1, kinds + 1))
    assert names(inputs) == ["a", "job", "last"]


def test_numbers_may_be_categories_and_texts_of_numbers_are_the_same_ones():
    inputs = fitted(table(k=[1, 2.5, 10, NAN]), Category("k", "one_hot"))
    assert names(inputs) == ["k = 1", "k = 10", "k = 2.5"]
    assert inputs.matrix(table(k=["10", "2.5", "x"])).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def mixed(rows, rng):
    columns = {name: rng.normal(size=rows) for name in "abcde"}
    columns["a"][::5] = NAN
    frame = table(**columns, job=[f"k{i}" for i in rng.integers(0, 9, rows)], town=[f"t{i % 4}" for i in range(rows)])
    frame.matrix = rng.random((rows, 3))
    return frame


def all_parts():
    numbers = [Numbers(n, s, "median", 0.0, True) for n, s in zip("abcde", SCALES, strict=True)]
    return [Numbers(None, "quantile", "mean"), *numbers, Category("job", "one_hot", 2), Category("town", "embedding")]


def bits(rows):
    """Rows whose job is a code, bit for bit."""
    return rows.counts, rows.dtype, rows.narrow.tobytes()


def test_numbers_are_those_of_columns_and_dates_and_no_indicators_codes_or_words():
    days = np.array(["2024-01-05", None, "2024-03-09", "2025-07-01"] * 5, object)
    columns = {
        "a": Column("a", np.array([1.0, np.nan, 2.0, 4.0] * 5)),
        "job": Column("job", np.array(["x", "y", "z", "x"] * 5, object)),
        "day": Column("day", days),
        "b": Column("b", np.arange(20.0)),
    }
    date = Dates("day", indicator=True)
    parts = Numbers("a", "standard", "mean", 0.0, True), Category("job", "one_hot"), date, Numbers("b", "none", "mean")
    inputs = fitted(Frame(None, columns, "t.csv"), *parts)
    of_date = len(date.parts) + len(date.cycles.fill)
    assert date.hole
    assert inputs.numbers() == [0, *range(5, 5 + of_date), 5 + of_date + 1]
    assert inputs.width == 5 + of_date + 2


def test_what_was_learned_goes_through_json_bit_for_bit():
    frame, other = mixed(211, np.random.default_rng(1)), mixed(50, np.random.default_rng(2))
    inputs = fitted(frame, *all_parts())
    data = json.loads(json.dumps(inputs.to_data()))
    again = Inputs.from_data(Stored(data, "inputs"))
    assert json.dumps(again.to_data()) == json.dumps(data)
    assert names(again) == names(inputs)
    assert again.embeddings() == inputs.embeddings()
    for dtype in (np.float32, np.float64):
        assert bits(again.matrix(other, dtype)) == bits(inputs.matrix(other, dtype))


def test_a_table_with_other_columns_between_and_another_order_gives_the_same():
    frame = mixed(50, np.random.default_rng(1))
    inputs = fitted(frame, *all_parts())
    turned = Frame(frame.matrix, dict(reversed(frame.columns.items())), "other.csv")
    turned.columns["more"] = Column("more", np.zeros(50))
    assert bits(inputs.matrix(turned)) == bits(inputs.matrix(frame))


def test_rows_of_a_frame_are_independent():
    frame = mixed(211, np.random.default_rng(1))
    inputs = fitted(frame, *all_parts())
    whole = inputs.matrix(frame)
    rows = np.array([3, 210, 0, 3])
    assert bits(inputs.matrix(frame.take(rows))) == bits(whole[rows])


def test_tables_that_do_not_fit_are_refused_by_name():
    inputs = fitted(table(age=[1, 2], job=["a", "b"]), Numbers("age", "standard", "mean"), Category("job", "one_hot"))
    assert message(inputs.matrix, table("new.csv", ages=[1], job=["a"])) == (
        "new.csv: there must be a column `age`, got `ages`, `job`\nhint: did you mean `ages`?"
    )
    assert message(inputs.matrix, table("new.csv", age=["3", "x4"], job=["a", "b"])) == (
        "new.csv:3: column `age` must be a number, got `x4`"
    )
    assert message(inputs.matrix, Frame(np.ones((2, 2)), {}, "x.npy")) == (
        "x.npy: there must be a column `age`, got no named columns"
    )
    inputs = fitted(Frame(np.ones((2, 2)), {}, "x.npy"), Numbers(None, "standard", "mean"))
    assert message(inputs.matrix, Frame(np.ones((2, 3)), {}, "y.npy")) == "y.npy: rows must have 2 features, got 3"
    assert message(inputs.matrix, table(a=[1])) == (
        "t.csv: must hold a matrix, as the training rows did, but has named columns"
    )
    assert message(fitted, table(a=[1])) == "t.csv: there must be a column to predict from"


def test_a_matrix_that_needs_nothing_is_not_copied():
    X = RNG.normal(size=(5, 3)).astype(np.float32)
    frame = Frame(X, {}, "x.npy")
    inputs = fitted(frame, Numbers(None, "none", "mean"))
    assert inputs.matrix(frame) is X
    holes = X.copy()
    holes[1, 2] = NAN
    found = inputs.matrix(Frame(holes, {}, "y.npy"))
    assert found[1, 2] == np.float32(X[:, 2].astype(np.float64).mean())


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", ">f4"])
def test_matrices_of_every_type(dtype):
    X = (RNG.random((31, 4)) * 2).astype(dtype)
    frame = Frame(X, {}, "x.npy")
    found = fitted(frame, Numbers(None, "standard", "mean")).matrix(frame, np.float64)
    x = X.astype(np.float64)
    np.testing.assert_allclose(found, (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1), atol=1e-12)
