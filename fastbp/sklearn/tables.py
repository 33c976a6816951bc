"""Rows of X as a frame, and the encodings of its columns.

An array is a matrix of numbers; where some of its columns are categories, they are `x0`, `x1` and so on, as
scikit-learn calls them. A table with names (pandas, Polars, Arrow) has columns of their own types: numbers, categories
(category, text and bool), and dates. Both go through the preprocessing of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _get_feature_names, check_array, validate_data

from fastbp.data.categories import ASKED as ENCODED
from fastbp.data.categories import Category, say_many
from fastbp.data.columns import Reading
from fastbp.data.dates import Dates
from fastbp.data.frame import Frame
from fastbp.data.inputs import Encoding, Inputs
from fastbp.data.kinds import EXACT
from fastbp.data.numbers import ASKED, Numbers
from fastbp.data.raw import Raw
from fastbp.data.tables import column_in, frame_of, is_category, is_number, is_table, names_of
from fastbp.errors import ConfigError, ConfigTypeError, DataError, DataWarning, brief, not_one_of, tell, visible
from fastbp.spec.checks import whole

Array = NDArray[Any]
FILLS = ("mean", "median", "refuse")
REAL = [np.float64, np.float32]
INSTEAD = '`encode="auto"` learns a table where a column has many, and `min_frequency` joins rare ones'


def has_names(X: Any) -> bool:
    """Whether columns are known by their names, all of which are texts, as in scikit-learn."""
    return is_table(X) and all(isinstance(name, str) for name in names_of(X) or [])


def matrix_of(estimator: Any, X: Any, reset: bool) -> Array:
    """An array of numbers, checked as scikit-learn does."""
    if not reset and _is_ready(estimator, X):
        return np.asarray(X)
    finite: Any = True if estimator.missing == "refuse" else "allow-nan"
    least = 2 if reset else 1
    found = validate_data(estimator, X, reset=reset, dtype=REAL, ensure_all_finite=finite, ensure_min_samples=least)
    return np.asarray(found)


def _is_ready(estimator: Any, X: Any) -> bool:
    """Whether nothing is wrong with an array, so that scikit-learn, which takes its time, need not look."""
    if type(X) is not np.ndarray or X.dtype not in REAL or X.ndim != 2 or not len(X):
        return False
    if hasattr(estimator, "feature_names_in_") or X.shape[1] != estimator.n_features_in_:
        return False
    return bool(np.isfinite(X).all())


def frame_in(estimator: Any, X: Any, reset: bool, kept: Sequence[str] = ()) -> Frame:
    """The rows of X; `kept` are columns of categories of an earlier fit, in which numbers stay texts."""
    if reset:
        _check_names(X)
    if not has_names(X) if reset else not hasattr(estimator, "feature_names_in_"):
        return _of_matrix(estimator, matrix_of(estimator, X, reset), reset)
    if isinstance(X, dict):
        raise DataError("X", "must be an array or a table such as a DataFrame", "a dict")
    known = X if not has_names(X) or _get_feature_names(X) is not None else _Named(X)
    validate_data(estimator, known, reset=reset, skip_check_array=True)
    reading = Reading(frozenset(_codes_in(estimator, X))) if reset else estimator.recipe_.raw.reading(kept)
    if has_names(X):
        for name in names_of(X) or []:
            _one_type(name, X[name])
        frame = frame_of(X, reading)
    else:
        array = np.asarray(check_array(X, dtype=None, ensure_all_finite=False))
        names = estimator.feature_names_in_.tolist()
        columns = (column_in(name, array[:, i], reading.of_texts()) for i, name in enumerate(names))
        frame = Frame(None, {column.name: column for column in columns}, "X")
    if len(frame) < (2 if reset else 1):
        shape = len(frame), len(frame.columns)
        raise ValueError(
            f"Found array with {len(frame)} sample(s) (shape={shape}) while a minimum of {2 if reset else 1} is"
            f" required by {type(estimator).__name__}."
        )
    return frame


def _check_names(X: Any) -> None:
    """Refuse what has no rows yet, and columns that are no numbers where their names are no texts."""
    if not is_table(X) or isinstance(X, dict):
        return
    if not hasattr(X, "__len__"):
        hint = "`X.collect()` is one" if hasattr(X, "collect") else None
        raise DataError("X", "must be an array or a table such as a DataFrame", f"a {type(X).__name__}", hint)
    names = names_of(X) or []
    for name in [] if any(isinstance(name, str) for name in names) else names:
        column = X[name]
        kind = str(getattr(column, "dtype", ""))
        if kind in ("category", "str", "string") or (kind == "object" and any(isinstance(one, str) for one in column)):
            must = "must have texts as names where a column has texts or categories"
            raise DataError("X", must, f"`{brief(name)}`", "`X.columns = X.columns.map(str)` makes texts of them")


def _codes_in(estimator: Any, X: Any) -> list[str]:
    """Columns of categories that stay texts: of texts, and of whole numbers that float64 cannot tell apart."""
    names = list(names_of(X) or [])
    asked = _categories(estimator.categorical_features, names)
    chosen = [name for name in names if (is_category(X[name]) if asked is None else name in asked)]
    return [name for name in chosen if _are_codes(X[name])]


def _are_codes(column: Any) -> bool:
    array = np.asarray(column)
    if array.dtype.kind in "iuf":
        return bool(((array >= EXACT) | (array <= -EXACT)).any())
    return any(
        isinstance(cell, str) or (isinstance(cell, Integral) and abs(int(cell)) >= EXACT) for cell in array.tolist()
    )


def _one_type(name: str, column: Any) -> None:
    """Refuse a column in which numbers and texts are mixed, as in one number that is misspelt."""
    if str(column.dtype if hasattr(column, "dtype") else "") != "object":
        return
    cells = np.asarray(column, object).tolist()
    texts = [row for row, cell in enumerate(cells) if isinstance(cell, str)]
    number = any(is_number(cell) and cell == cell for cell in cells)
    if texts and number:
        got = f"`{visible(cells[texts[0]])}` beside numbers"
        raise DataError(f"X: row {texts[0]}: column `{visible(name)}` must be all numbers or all texts, got {got}")


def _of_matrix(estimator: Any, matrix: Array, reset: bool) -> Frame:
    """The rows of an array: a matrix, or columns where some are categories."""
    names = [f"x{i}" for i in range(matrix.shape[1])]
    if reset:
        chosen = _categories(estimator.categorical_features, names) or set()
        for name in sorted(chosen):
            column = matrix[:, names.index(name)]
            if (np.abs(column) >= EXACT).any():
                must = "must be a table where categories are numbers from 2⁵³ on, of which an array has several as one"
                raise DataError("X", must, f"`{column[np.abs(column) >= EXACT][0]:.0f}` in `{name}`")
        named = bool(chosen)
    else:
        named = any(part.name is not None for part in estimator.recipe_.inputs.parts)
    frame = Frame(matrix, {}, "X")
    return frame.in_columns() if named else frame


class _Named:
    """Names and shape of a table, for scikit-learn before 1.9, to which new Polars and Arrow do not tell them."""

    def __init__(self, table: Any) -> None:
        self.names = list(names_of(table) or [])
        self.shape = len(table), len(self.names)

    def __dataframe__(self) -> _Named:
        return self

    def column_names(self) -> list[Any]:
        """The names of the columns."""
        return self.names


@contextmanager
def hinting() -> Iterator[None]:
    """Give hints about an estimator, instead of those about the settings of a configuration."""
    try:
        yield
    except DataError as error:
        hint = "a missing number is None or NaN, and `categorical_features` says which columns are categories"
        raise error.at(hint=hint if "must be a number" in str(error) else None) from None


def raw_of(frame: Frame) -> Raw:
    """How the numbers of these rows are written, so that others are read alike; unseen categories refuse no table."""
    return Raw({name: one.style for name, one in frame.columns.items() if one.style is not None}, unseen=1.0)


def inputs_for(estimator: Any, X: Any, frame: Frame) -> Inputs:
    """The encodings of all columns, fitted to these rows."""
    inputs = _encodings(estimator, X, frame)
    with hinting():
        inputs.fit(frame)
    say_many(frame.origin, len(frame), inputs.categories, INSTEAD)
    return inputs


def _encodings(estimator: Any, X: Any, frame: Frame) -> Inputs:
    scale, missing = estimator.scale, estimator.missing
    beyond = getattr(estimator, "beyond", None)
    indicator = beyond is not None and beyond.indicator
    if frame.matrix is not None:
        return Inputs([Numbers(None, scale, missing, 0.0, indicator)])
    chosen = _categories(estimator.categorical_features, list(frame.columns))
    chosen = are_categories(X, frame) if chosen is None else chosen
    parts: list[Encoding] = []
    for name, column in frame.columns.items():
        if name in chosen:
            words = {} if beyond is None else beyond.categories
            parts.append(Category(name, estimator.encode, estimator.min_frequency, **words))
        elif column.values.dtype.kind == "M":
            parts.append(Dates(name, missing=missing, indicator=indicator, numbers=Numbers(None, scale, missing)))
            _say_dates(name)
        else:
            parts.append(Numbers(name, scale, missing, 0.0, indicator))
    return Inputs(parts)


def are_categories(X: Any, frame: Frame) -> set[str]:
    """The columns of a table whose types say that they are categories."""
    return {name for name, one in frame.columns.items() if one.is_text or one.boolean or is_category(X[name])}


def check_encodings(estimator: Any) -> None:
    """Refuse settings of the preprocessing."""
    if estimator.scale not in ASKED:
        raise not_one_of("scale", estimator.scale, ASKED)
    if estimator.missing not in FILLS:
        raise not_one_of("missing", estimator.missing, FILLS)
    if estimator.encode not in ENCODED:
        raise not_one_of("encode", estimator.encode, ENCODED)
    whole("min_frequency", estimator.min_frequency, 1)


def _categories(asked: Any, names: list[str]) -> set[str] | None:
    """The columns that are categories; None where their types say so."""
    if isinstance(asked, str) and asked == "from_dtype":
        return None
    if asked is None:
        return set()
    if isinstance(asked, str) or not np.iterable(asked):
        must = "must be `from_dtype`, None, or a list of columns"
        raise ConfigTypeError("categorical_features", must, f"`{brief(asked)}`")
    listed = list(asked)
    if listed and all(isinstance(one, bool | np.bool_) for one in listed):
        if len(listed) != len(names):
            must = f"must have one value for each of {len(names)} columns"
            raise ConfigError("categorical_features", must, f"{len(listed)}")
        return {name for name, one in zip(names, listed, strict=True) if one}
    found = set()
    for one in listed:
        if isinstance(one, int | np.integer) and -len(names) <= one < len(names):
            found.add(names[int(one)])
        elif isinstance(one, str) and one in names:
            found.add(one)
        else:
            raise not_one_of("categorical_features", one, names)
    return found


def _say_dates(name: str) -> None:
    tell(
        DataWarning(
            f"X: column `{visible(name)}` has dates, which become year, month, day of the year, weekday, hour and age"
            " as numbers, and the cycles of the year, week and day"
        )
    )
