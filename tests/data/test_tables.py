"""Columns of tables in memory are what the same columns of a file would be."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

from fastbp.data.columns import Reading
from fastbp.data.tables import frame_of
from fastbp.errors import DataError

EAST = timezone(timedelta(hours=2))
NOON = datetime(2024, 5, 1, 12, 30)


def column(*cells, dtype=object, reading=None):
    """The column that these cells become."""
    values = np.empty(len(cells), object)
    values[:] = cells
    return frame_of({"a": values.astype(dtype)}, reading or Reading()).columns["a"]


READ = {
    "dates": ([date(2024, 5, 1), None], ["2024-05-01T00:00:00.000000", "NaT"]),
    "moments": ([NOON, date(2024, 5, 2)], ["2024-05-01T12:30:00.000000", "2024-05-02T00:00:00.000000"]),
    "moments of a zone": ([NOON.replace(tzinfo=EAST), None], ["2024-05-01T10:30:00.000000", "NaT"]),
    "times": ([time(12, 30), time(0, 0, 1)], ["1970-01-01T12:30:00.000000", "1970-01-01T00:00:01.000000"]),
    "durations": ([timedelta(days=1), timedelta(milliseconds=-5)], [86400.0, -0.005]),
    "decimals": ([Decimal("1.5"), Decimal("-2")], [1.5, -2.0]),
    "numbers of NumPy": ([np.float32(1.5), np.int8(-2), 3], [1.5, -2.0, 3.0]),
    "texts": (["b", "", "a"], ["b", None, "a"]),
    "texts of numbers": (["1", "x"], ["1", "x"]),
}


@pytest.mark.parametrize("kind", READ)
def test_cells_of_objects_are_read_by_their_types(kind):
    cells, expected = READ[kind]
    assert [str(value) for value in column(*cells).values] == [str(value) for value in expected]


def test_durations_of_numpy_are_seconds_and_missing_where_they_are_no_time():
    found = column(timedelta(days=1), timedelta(0), dtype="timedelta64[ns]").values
    assert found.tolist() == [86400.0, 0.0]
    gone = frame_of({"a": np.array([1500, "NaT"], "timedelta64[ms]")}, Reading()).columns["a"].values
    assert gone[0] == 1.5
    assert np.isnan(gone[1])


def test_moments_of_pandas_are_in_utc():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"a": pd.to_datetime(["2024-05-01 12:30", None]).tz_localize("Europe/Zurich")})
    assert frame_of(table, Reading()).columns["a"].values.astype(str).tolist() == ["2024-05-01T10:30:00.000000", "NaT"]


def test_categories_of_pandas_may_be_anything():
    pd = pytest.importorskip("pandas")
    cut = frame_of({"a": pd.Series(pd.cut([1.0, 2.0, 9.0], [0, 5, 10]))}, Reading()).columns["a"]
    assert cut.values.tolist() == ["(0, 5]", "(0, 5]", "(5, 10]"]


def test_codes_stay_as_they_are_written():
    reading = Reading(frozenset(["a"]))
    assert column(1, 20, reading=reading).values.tolist() == ["1", "20"]
    assert column(date(2024, 5, 1), date(2024, 5, 2), reading=reading).values.tolist() == ["2024-05-01", "2024-05-02"]


ODD = {
    "a list": ((1, [2]), "row 1: column `a` must have numbers, texts or dates, got `[2]`"),
    "a complex number": ((1j,), "row 0: column `a` must have numbers, texts or dates, got `1j`"),
    "bytes": ((b"x",), "row 0: column `a` must have numbers, texts or dates, got `b'x'`"),
    "an array": ((np.zeros(2),), "row 0: column `a` must have numbers, texts or dates, got `array([0., 0.])`"),
    "a text beside dates": ((date(2024, 5, 1), "soon"), "row 1: column `a` must be all dates, got `soon`"),
    "a number beside durations": ((timedelta(1), 2), "row 1: column `a` must be all durations, got `2`"),
    "a zone beside none": (
        (NOON, NOON.replace(tzinfo=EAST)),
        "row 1: column `a` must be a date without a time zone as those before it, got `2024-05-01 12:30:00+02:00`",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_cells_that_no_column_has_are_refused_by_their_row(kind):
    cells, message = ODD[kind]
    with pytest.raises(DataError) as info:
        column(*cells)
    assert str(info.value) == f"X: {message}"
