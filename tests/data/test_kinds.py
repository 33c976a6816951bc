"""What columns are taken for: what a person would say of each, with the reason."""

import string

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data.csv_files import read_csv
from fastbp.data.dates import Dates
from fastbp.data.frame import Column, Frame
from fastbp.data.kinds import Kind, are_classes, kind_of, kinds_of
from fastbp.data.prepare import prepare, task_of
from fastbp.errors import DataError, DataWarning

RNG = np.random.default_rng(0)
ONES = np.arange(1.0, 51.0)
MIXED = RNG.permutation(1000.0 + 7.0 * ONES)
WORDS = ["the", "old", "red", "fox", "ran", "far", "off", "one", "day", "too"]


def sentence(rng):
    return " ".join(rng.choice(WORDS, 7).tolist())


SENTENCES = [sentence(np.random.default_rng(i)) for i in range(50)]
LETTERS = [a + b for a in string.ascii_lowercase for b in "xyz"][:50]
IDS = "all different, and its name says that it names rows"

CASES = {
    "measured": ("weight", RNG.normal(size=50), "number", None),
    "different whole numbers": ("population", MIXED, "number", "1007 to 1350"),
    "an id by its name": ("PassengerId", MIXED, "ignore", f"1007 to 1350 ({IDS})"),
    "a key": ("order_key", MIXED, "ignore", f"1007 to 1350 ({IDS})"),
    "equal numbers": (
        *("size", np.array(["250.0", "250.00", "1e2", "100", "small"] * 9, object)),
        *("category", "3 values: 100, 250, small"),
    ),
    "a name with id in it": ("humidity", MIXED, "number", "1007 to 1350"),
    "an id that comes twice": ("house_id", np.append(MIXED[1:], MIXED[1]), "number", None),
    "an index of pandas": ("Unnamed: 0", MIXED, "ignore", None),
    "an id with a fraction": ("id", MIXED + 0.5, "number", None),
    "long ids": (
        "account",
        2.0**53 + 2.0 * MIXED,
        "ignore",
        "9.0072e+15 to 9.0072e+15 (longer than what is counted, as keys are)",
    ),
    "long ids from the first that is none": ("account", 2.0**53 + 2.0 * (ONES - 1), "ignore", None),
    "long ids and a short one": ("account", np.where(ONES > 1, 2.0**53 * MIXED, MIXED), "ignore", None),
    "long numbers, not all": ("account", np.where(ONES > 5, 2.0**53 * MIXED, MIXED), "number", None),
    "large measures": ("stars", 1e21 * MIXED, "number", "1.007e+24 to 1.35e+24"),
    "few ids": ("id", MIXED[:19], "number", None),
    "rows from 1": ("n", ONES, "ignore", "1 to 50 (counts the rows)"),
    "rows from 0": ("n", ONES - 1, "ignore", "0 to 49 (counts the rows)"),
    "rows from 2": ("n", ONES + 1, "number", "2 to 51"),
    "rows in another order": ("n", ONES[::-1], "number", "1 to 50"),
    "rows with a gap": ("n", np.where(ONES == 7, np.nan, ONES), "number", "1 to 50, 1 missing"),
    "a constant": ("x", np.full(50, 3.0), "ignore", "always 3"),
    "a constant with gaps": ("x", np.where(ONES > 9, 3.0, np.nan), "number", "always 3, 9 missing"),
    "nothing": ("x", np.full(50, np.nan), "ignore", "nothing but missing values"),
    "no text": ("x", np.array([None] * 50, object), "ignore", "nothing but missing values"),
    "one text": ("x", np.array(["a"] * 50, object), "ignore", "always a"),
    "one text with gaps": ("x", np.array(["a", None] * 25, object), "category", "1 value: a, 25 missing"),
    "classes": ("x", np.array(["u", "v"] * 25, object), "category", "2 values: u, v"),
    "names": ("x", np.array(LETTERS, object), "ignore", "50 different texts, most of them once"),
    "free text": ("x", np.array(SENTENCES, object), "ignore", "50 texts of about 7 words"),
    "free text, some twice": (
        *("x", np.array(SENTENCES[:30] + SENTENCES[:20], object)),
        *("ignore", "30 texts of about 7 words"),
    ),
    "long categories": ("x", np.array(SENTENCES[:10] * 5, object), "category", None),
    "names, some twice": ("x", np.array(LETTERS[:30] + LETTERS[:20], object), "category", None),
    "postcodes": (
        *("zip", np.array(["01067", "80331"] * 25, object)),
        *("category", "2 values: 01067, 80331 (codes with zeros in front)"),
    ),
    "many postcodes": ("zip", np.array([f"{i:05d}" for i in range(0, 600, 2)] * 2, object), "category", None),
    "different codes": ("zip", np.array([f"{i:05d}" for i in range(300)], object), "ignore", None),
    "numbers with a mistake": (
        *("x", np.array([*map(str, range(299)), "x7"], object)),
        *("number", "300 values, numbers but for x7"),
    ),
    "different numbers with a sum": (
        *("x", np.array([*map(str, range(30)), "Total"], object)),
        *("number", "31 values, numbers but for Total"),
    ),
    "numbers written as texts": (
        *("x", np.array([*map(str, range(30))], object)),
        *("number", "30 values, numbers written as texts"),
    ),
    "codes with letters": (
        *("x", np.array([*map(str, range(30)), "V27"] * 3, object)),
        *("category", "31 values: 0, 1, 10, 11, ..."),
    ),
    "days in digits": (
        *("sold", 20240101.0 + 100 * (ONES % 12) + ONES % 28),
        *("number", "20240109 to 20241224; dates, if `{type: date, unit: ymd}`"),
    ),
    "no days in digits": ("sold", 20240101.0 + ONES, "number", "20240102 to 20240151"),
    "seconds by their name": (
        *("created_at", 1.6e9 + 1e5 * RNG.permutation(ONES)),
        *("number", "1600100000 to 1605000000; dates, if `{type: date, unit: s}`"),
    ),
    "milliseconds by their name": (
        *("timestamp", 1.6e12 + 1e8 * RNG.permutation(ONES)),
        *("number", "1.6001e+12 to 1.605e+12; dates, if `{type: date, unit: ms}`"),
    ),
    "what could be seconds": ("people", 1.6e9 + 1e5 * RNG.permutation(ONES), "number", "1600100000 to 1605000000"),
    "a date for all": ("x", np.array(["2024-01-02"] * 50, object), "ignore", "always 2024-01-02"),
    "a typed date for all": (
        *("x", np.full(50, "2024-01-02", "datetime64[us]")),
        *("ignore", "always 2024-01-02"),
    ),
    "dates": ("x", np.array(["2024-01-02"] * 49 + [None], object), "date", "dates, such as 2024-01-02, 1 missing"),
    "dates with a mistake": (
        *("x", np.array([*[f"2024-01-{i % 28 + 1:02}" for i in range(57)], "2024-13-01", "n. k.", None], object)),
        *("date", "30 values, dates but for 2024-13-01, 1 missing"),
    ),
    "dates with many mistakes": (
        *("x", np.array([*[f"2024-01-{i % 28 + 1:02}" for i in range(57)], *"abcd"], object), "category"),
        "32 values: 2024-01-01, 2024-01-02, 2024-01-03, 2024-01-04, ...",
    ),
    "few dates with a mistake": (
        *("x", np.array([*[f"2024-01-{i % 19 + 1:02}" for i in range(57)], "other"], object), "category"),
        "20 values: 2024-01-01, 2024-01-02, 2024-01-03, 2024-01-04, ...",
    ),
    "different dates": ("x", np.array([f"{i % 28 + 1}.{i // 28 + 1}.2024" for i in range(50)], object), "date", None),
    "dates and a text": ("x", np.array(["2024-01-02"] * 49 + ["soon"], object), "category", None),
    "typed dates": (
        *("x", np.array(["2024-01-02", "NaT", "2024-01-05T12:00"], "datetime64[us]")),
        *("date", "2024-01-02 to 2024-01-05T12:00:00, 1 missing"),
    ),
    "typed truths": ("x", ONES > 7, "number", None),
}


@pytest.mark.parametrize(("name", "values", "kind", "about"), CASES.values(), ids=CASES)
def test_a_column_is_what_a_person_would_say(name, values, kind, about):
    found = kind_of(Column(name, values))
    assert found.name == kind
    assert about is None or found.about == about


def test_rows_that_are_left_out_are_counted():
    columns = {"n": Column("n", ONES), "x": Column("x", MIXED), "m": Column("m", np.roll(ONES, 1))}
    frame = Frame(None, columns, "t.csv").take(np.flatnonzero(ONES % 7))
    kinds = kinds_of(frame, ["n", "x", "m"])
    assert {name: kind.name for name, kind in kinds.items()} == {"n": "ignore", "x": "number", "m": "number"}
    assert kinds["n"].about == "1 to 50 (counts the rows)"


def test_ids_are_used_where_nothing_else_is_left():
    frame = Frame(None, {"x": Column("x", ONES), "c": Column("c", np.full(50, 3.0))}, "t.csv")
    assert kinds_of(frame, ["x", "c"])["x"] == Kind("number", "1 to 50")
    assert kinds_of(frame, ["x", "c"])["c"].name == "ignore"
    assert kinds_of(frame, ["x"], others=True)["x"].name == "ignore"
    frame.columns["z"] = Column("z", MIXED)
    assert kinds_of(frame, ["x", "z"])["x"].name == "ignore"


def test_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,n,r,y\n01067,7,0,1\n80331,12,0.5,2\n,,,3\n")
    frame = read_csv(path)
    assert frame.columns["zip"].values.tolist() == ["01067", "80331", None]
    assert [frame.columns[name].is_text for name in ("n", "r", "y")] == [False] * 3


def test_ids_texts_and_constants_are_ignored_in_training(tmp_path):
    lines = ["id,code,name,note,same,day,age,y"]
    for i in range(60):
        row = [
            3 * i + 5,
            f"{i % 4:03d}",
            f"n{i}",
            SENTENCES[i % 50],
            1,
            f"2024-01-{i % 28 + 1:02d}",
            i % 9,
            "uv"[i % 2],
        ]
        lines.append(",".join(map(str, row)))
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    data = Data(path=str(tmp_path / "t.csv"), target="y", split=Split(validation=0.3, test=0.0))
    found = prepare(data, 0, "float32")
    kinds = {seen.name: seen.type for seen in found.seen}
    assert kinds == {
        "id": "ignore",
        "code": "category",
        "name": "ignore",
        "note": "ignore",
        "same": "ignore",
        "day": "date",
        "age": "number",
    }
    code, day, age = found.recipe.inputs.parts
    assert (code.values, type(day), age.name) == (["000", "001", "002", "003"], Dates, "age")
    data.columns = {"id": "number", "note": {"type": "words", "size": 32}}
    found = prepare(data, 0, "float32")
    assert [part.name for part in found.recipe.inputs.parts] == ["id", "code", "note", "day", "age"]
    assert found.recipe.inputs.parts[2].width == 32
    assert [(seen.type, seen.about) for seen in found.seen[:1]] == [("number", "")]


RINGS = np.clip(np.round(np.random.default_rng(1).gamma(9.0, 1.1, 4000)), 1, 19)
RINGS[0] = 1.0
TARGETS = {
    "0 and 1": (np.arange(9) % 2, True),
    "one rare of two": (np.arange(1000) == 5, True),
    "three codes": (np.array([1, 5, 9])[np.arange(60) % 3], True),
    "three codes, one rare": (np.where(np.arange(300) < 4, 7, np.arange(300) % 2), True),
    "ten digits": (np.arange(200) % 10, True),
    "too few of each": (np.arange(99) % 10, False),
    "letters from 1": (np.arange(800) % 26 + 1, True),
    "even ages": (np.arange(800) % 26 + 30, False),
    "letters with a gap": (np.where(np.arange(800) % 26 == 7, 40, np.arange(800) % 26), False),
    "more than a hundred": (np.arange(2000) % 101, False),
    "rings of a shell": (RINGS, False),
    "halves": (np.arange(60) % 3 / 2, False),
    "missing ones": (np.where(np.arange(90) % 3, np.arange(90) % 2, np.nan), True),
    "endless": (np.array([0.0, 1.0, np.inf] * 20), False),
}


def test_the_rings_are_numbered_without_a_gap():
    assert np.unique(RINGS).tolist() == list(range(1, 20))


@pytest.mark.parametrize(("target", "classes"), TARGETS.values(), ids=TARGETS)
def test_targets_are_classes_or_amounts_as_a_person_would_say(target, classes):
    assert are_classes(np.asarray(target, np.float64)) is classes


REFUSED = {
    "names": (
        [f"name{i}" for i in range(30)],
        "t.csv: target `y` must have classes that repeat, got 30 different texts, most of them once\nhint: ",
    ),
    "dates": (
        [f"2024-01-{i % 28 + 1:02d}" for i in range(60)],
        "t.csv: target `y` must be classes or numbers, got dates, such as 2024-01-01 and 2024-01-28\nhint: ",
    ),
    "numbers with a mistake": (
        [*map(str, range(7, 40)), "many"],
        "t.csv:35: column `y` must be a number, got `many`\nhint: if it means that there is none, list it in"
        " `data.missing_texts`; else ",
    ),
}


@pytest.mark.parametrize(("target", "wanted"), REFUSED.values(), ids=REFUSED)
def test_texts_that_are_hardly_classes_are_refused_unless_they_are_said_to_be(tmp_path, monkeypatch, target, wanted):
    monkeypatch.chdir(tmp_path)
    with open("t.csv", "w") as file:
        file.write("x,y\n" + "".join(f"{i / 7:.3f},{y}\n" for i, y in enumerate(target)))
    data = Data(path="t.csv", target="y", split=Split(validation=0.0, test=0.0))
    with pytest.raises(DataError) as caught:
        prepare(data, 0, "float32")
    assert str(caught.value) == wanted + "name another target, or have every text be a class by `data.task: classes`"
    data.task = "classes"
    assert set(prepare(data, 0, "float32").recipe.outputs.names) == set(target)
    if target[-1] == "many":
        data.task, data.missing_texts, data.missing_target = None, ["many"], "drop"
        with pytest.warns(DataWarning, match="1 of 34 rows have no target"):
            assert prepare(data, 0, "float32").recipe.outputs.task == "numbers"


def test_numbers_that_a_file_has_as_texts_are_numbers_to_predict():
    def task(values):
        frame = Frame(None, {"y": Column("y", np.array(values, object))}, "t.parquet")
        return task_of(frame, ["y"], None)

    assert task([f"{i}.5" for i in range(150)]) == "numbers"
    assert task([f"$1,{i:03}.50" for i in range(150)]) == "numbers"
    assert task([*"0123456789"] * 30) == "classes"


@pytest.mark.parametrize(
    ("days", "wrong", "order", "unclear"),
    [
        ("{d}/01/2024", "01/{d}/2024", "day", None),
        ("01/{d}/2024", "13/02/2024", "month", None),
        ("0{m}/0{m}/2024", "0x/01/2024", None, None),
        ("0{m}/02/2024", "?/01/2024", None, "01/02/2024"),
    ],
)
def test_dates_with_a_mistake_have_the_order_of_the_others(days, wrong, order, unclear):
    others = [days.format(d=13 + i % 18, m=1 + i % 9) + f" {i % 24}:00" * (not unclear) for i in range(70)]
    others += [days.format(m=1 + i % 9).replace("2024", f"20{i % 30 + 10}") for i in range(30) if "m" in days]
    kind = kind_of(Column("x", np.array([*others, wrong.format(d=30)], object)))
    assert (kind.name, kind.order) == ("date", order)
    assert kind.about.endswith(f"dates but for {wrong.format(d=30)}")
    assert (kind.unclear is None) == (unclear is None)


@pytest.mark.parametrize(("text", "hint"), [("unknown", True), ("2024-13-01", False)])
def test_the_mistake_among_dates_is_named_with_its_line(tmp_path, text, hint):
    path = tmp_path / "t.csv"
    path.write_text(
        "\n".join(["day,y", *(f"2024-{i % 12 + 1:02}-{i % 28 + 1:02},{i / 7}" for i in range(100)), f"{text},1"])
    )
    with pytest.raises(DataError) as caught:
        prepare(Data(path=str(path), target="y", split=Split(validation=0.0, test=0.0)), 0, "float64")
    said = f"{path}:102: column `day` must be a date, got `{text}`"
    told = '\nhint: if that is a missing date, `data.missing_texts: ["unknown"]` has it read so in training'
    assert str(caught.value) == said + told * hint
