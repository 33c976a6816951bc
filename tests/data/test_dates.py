"""Dates as numbers and cycles: each against Python's own calendar, what is constant left out, and files of recipes."""

import datetime
import json
import math

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data.dates import CYCLES, Dates
from fastbp.data.frame import Column, Frame
from fastbp.data.numbers import Numbers
from fastbp.data.prepare import prepare
from fastbp.data.stored import Stored
from fastbp.errors import CheckpointError, ConfigError, DataError


def table(values, origin="t.csv"):
    return Frame(None, {"d": Column("d", np.array(values, object))}, origin, np.arange(len(values)) + 2)


def plain(**settings):
    """Dates whose numbers are not scaled."""
    return Dates("d", numbers=Numbers(None, "none", settings.get("missing", "mean")), **settings)


def encoded(part, frame):
    out = np.full((len(frame), part.width), np.nan)
    part.apply(frame, out)
    return out


def calendar(at, newest):
    """The numbers and cycles of a moment, by `datetime`."""
    year = datetime.datetime(at.year, 1, 1)
    days = (datetime.datetime(at.year + 1, 1, 1) - year).days
    hour = at.hour + at.minute / 60 + at.second / 3600
    yearday = at.timetuple().tm_yday
    shares = [(at.month - 1) / 12, (yearday - 1) / days, at.weekday() / 7, hour / 24]
    cycles = [f(2 * math.pi * share) for share in shares for f in (math.sin, math.cos)]
    age = (newest - at) / datetime.timedelta(days=1)
    return [at.year, at.month, yearday, at.weekday(), hour, age, *cycles]


MOMENTS = [
    datetime.datetime(2023, 1, 1),
    datetime.datetime(2024, 2, 29, 6, 30),
    datetime.datetime(2024, 12, 31, 23, 59, 59),
    datetime.datetime(1969, 7, 20, 20, 17, 40),
    datetime.datetime(1900, 3, 1, 12),
    datetime.datetime(2000, 10, 5, 18),
]


def test_numbers_and_cycles_are_those_of_the_calendar():
    frame = table([at.isoformat() for at in MOMENTS])
    part = plain()
    part.fit(frame)
    assert part.parts == ["year", "month", "yearday", "weekday", "hour", "age"]
    wanted = [calendar(at, max(MOMENTS)) for at in MOMENTS]
    np.testing.assert_allclose(encoded(part, frame), wanted, rtol=1e-12, atol=1e-12)
    later = datetime.datetime(2031, 5, 6, 7)
    found = encoded(part, table(["06.05.2031 7:00"], "new.csv"))
    np.testing.assert_allclose(found, [calendar(later, max(MOMENTS))], rtol=1e-12, atol=1e-12)


def test_the_same_dates_are_the_same_numbers_in_every_form():
    ways = [
        (None, [at.isoformat(" ") for at in MOMENTS], object),
        (None, [at.strftime("%d/%m/%Y %I:%M:%S %p") for at in MOMENTS], object),
        (None, [at.isoformat() for at in MOMENTS], "datetime64[us]"),
        ("s", [at.replace(tzinfo=datetime.timezone.utc).timestamp() for at in MOMENTS], float),
    ]
    found = []
    for unit, values, kind in ways:
        frame = Frame(None, {"d": Column("d", np.array(values, kind))}, "t.csv")
        part = Dates("d", unit, "day")
        part.fit(frame)
        found.append(encoded(part, frame))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    np.testing.assert_allclose(found[0][:, :6].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(found[0][:, :6].std(axis=0), 1.0, atol=1e-12)
    assert abs(found[0][:, 6:]).max() <= 1.0


@pytest.mark.parametrize(
    ("dates", "parts"),
    [
        (["2024-01-01", "2024-01-03"], ["yearday", "weekday", "age"]),
        (["2024-03", "2024-04"], ["month", "yearday", "weekday", "age"]),
        (["10:15", "11:00", "12:00"], ["hour", "age"]),
        (["2019-01-01", "2024-01-01"], ["year", "weekday", "age"]),
        (["2024-01-01", "2024-01-01"], ["age"]),
        ([None, None], ["age"]),
    ],
)
def test_what_is_constant_is_left_out(dates, parts):
    part = plain()
    part.fit(table(dates))
    assert part.parts == parts
    assert part.width == len(parts) + 2 * len(set(parts) & set(CYCLES))
    assert np.isfinite(encoded(part, table(dates))).all()
    if parts == ["age"]:
        assert not encoded(part, table(dates)).any()


@pytest.mark.parametrize(("missing", "fill"), [("mean", 2021.0), ("median", 2020.0)])
def test_a_missing_date_has_the_mean_or_median_of_each_number(missing, fill):
    frame = table(["2020-01-01", None, "2020-01-01", "2023-01-01"])
    part = plain(missing=missing, indicator=True)
    part.fit(frame)
    found = encoded(part, frame)
    assert part.parts == ["year", "weekday", "age"]
    assert found[1, 0] == fill
    assert found[:, -1].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(found[1, 3:5], found[[0, 2, 3], 3:5].mean(axis=0))
    without = plain(indicator=True)
    without.fit(table(["2020-01-01", "2023-01-01"]))
    assert not without.hole


def test_missing_dates_are_refused_where_that_is_asked_for():
    part = plain(missing="refuse")
    with pytest.raises(DataError) as caught:
        part.fit(table(["2020-01-01", None]))
    assert str(caught.value) == "t.csv:3: column `d` must have a date"


def write(folder, dates, name="t.csv"):
    path = folder / name
    rows = [f"{date},{i % 7},{'no' if i % 3 else 'yes'}" for i, date in enumerate(dates)]
    path.write_text("d,a,y\n" + "\n".join(rows) + "\n")
    return str(path)


def test_a_column_of_dates_is_found_and_read_by_all_its_rows(tmp_path):
    dates = [f"{i % 12 + 1:02d}/{i % 12 + 1:02d}/2024" for i in range(40)]
    dates[-1] = "02/13/2024"
    split = Split(validation=0.5, test=0.0, seed=next(s for s in range(99) if s))
    found = prepare(Data(path=write(tmp_path, dates), target="y", split=split), 0, "float32")
    part = found.recipe.inputs.parts[0]
    assert (type(part), part.order) == (Dates, "month")
    one = next(seen for seen in found.seen if seen.name == "d")
    assert (one.type, one.about) == ("date", "dates, such as 01/01/2024 and 02/13/2024")


def test_dates_that_do_not_say_their_order_are_refused_until_it_is_said(tmp_path):
    path = write(tmp_path, [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2024" for i in range(40)])
    data = Data(path=path, target="y")
    for columns in ({}, {"d": "date"}):
        data.columns = columns
        with pytest.raises(DataError) as caught:
            prepare(data, 0, "float32")
        assert str(caught.value) == (
            f"{path}: column `d` must have a date that says whether days or months come first,"
            " got only such as `12/01/2024`\n"
            "hint: `data.columns.d` may be `{type: date, order: day}`, or `order: month`"
        )
    found = []
    for order in ("day", "month"):
        data.columns = {"d": {"type": "date", "order": order, "scale": "none"}}
        found.append(prepare(data, 0, "float64").parts["train"].X)
    days, months = (X[:, [1, 0]] for X in found)
    assert set(months[:, 1].tolist()) <= set(range(1, 13))
    assert not np.array_equal(days, months)


def test_numbers_are_dates_only_with_a_unit(tmp_path):
    path = write(tmp_path, [str(1_700_000_000 + 86_413 * i) for i in range(40)])
    data = Data(path=path, target="y", columns={"d": "date"})
    with pytest.raises(ConfigError) as caught:
        prepare(data, 0, "float32")
    assert str(caught.value) == (
        f"`data.columns.d` must have `unit`, one of `d`, `s`, `ms`, `us`, `ns`, `ymd`, as {path} has numbers there"
    )
    data.columns = {"d": {"type": "date", "unit": "s"}}
    assert prepare(data, 0, "float32").recipe.inputs.parts[0].parts[0] == "month"
    assert isinstance(prepare(Data(path=path, target="y"), 0, "float32").recipe.inputs.parts[0], Numbers)


def fitted():
    part = Dates("d", indicator=True, order="day")
    part.fit(table(["01/02/2024", None, "13/03/2023 10:15"]))
    return part


def test_what_was_written_is_read():
    data = json.loads(json.dumps({"kind": "dates", **fitted().to_data()}))
    again = Dates.from_data(Stored(data, "inputs[0]"))
    assert {"kind": "dates", **again.to_data()} == data
    frame = table(["05/06/2024", None])
    assert encoded(again, frame).tobytes() == encoded(fitted(), frame).tobytes()


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("unit", "h", "`inputs[0].unit` must be one of `d`, `s`, `ms`, `us`, `ns`, `ymd`, got `h`"),
        ("order", "year", "`inputs[0].order` must be one of `day`, `month`, got `year`"),
        ("missing", "constant", "`inputs[0].missing` must be one of `mean`, `median`, `refuse`, got `constant`"),
        ("parts", [], "`inputs[0].parts` must be some of `year`, `month`, `yearday`, `weekday`, `hour`, `age`,"
         " in this order, got an empty list"),
        ("parts", ["age", "year"], "`inputs[0].parts` must be some of `year`, `month`, `yearday`, `weekday`, `hour`,"
         " `age`, in this order, got a list"),
        ("parts", ["year"], "`inputs[0].numbers.fill` must have 1 number, got 6"),
        ("newest", 1e30, "`inputs[0].newest` must be whole microseconds between the years 1 and 9999, got `1e+30`"),
        ("newest", 0.5, "`inputs[0].newest` must be whole microseconds between the years 1 and 9999, got `0.5`"),
        ("hole", 1, "`inputs[0].hole` must be true or false, got `1`"),
        ("cycles", None, "`inputs[0].cycles` must be an object, got `null`"),
    ],
)  # fmt: skip
def test_what_was_not_written_is_refused(key, value, wanted):
    data = {"kind": "dates", **fitted().to_data(), key: value}
    with pytest.raises(CheckpointError) as caught:
        Dates.from_data(Stored(data, "inputs[0]"))
    assert str(caught.value) == wanted


def test_numbers_inside_have_no_name():
    data = {"kind": "dates", **fitted().to_data()}
    data["numbers"]["name"] = "d"
    with pytest.raises(CheckpointError) as caught:
        Dates.from_data(Stored(data, "inputs[0]"))
    assert str(caught.value) == "`inputs[0].numbers.name` must be null, got `d`"


def test_a_text_among_dates_is_named_where_they_are_asked_for(tmp_path):
    path = write(tmp_path, ["01/02/2024"] * 20 + ["1/13/2024"] * 10 + ["soon"] * 10)
    split = Split(validation=0.0, test=0.0)
    with pytest.raises(DataError) as caught:
        prepare(Data(path=path, target="y", columns={"d": "date"}, split=split), 0, "float32")
    hint = '\nhint: if that is a missing date, `data.missing_texts: ["soon"]` has it read so in training'
    assert str(caught.value) == f"{path}:32: column `d` must be a date, got `soon`" + hint
