"""Rows without targets, and columns whose numbers are written for people: what training says and predictions repeat."""

import json

import numpy as np
import pytest

from fastbp.config.schema import Data, Split
from fastbp.data.files import read_paths
from fastbp.data.prepare import part_of, prepare
from fastbp.data.recipe import Recipe
from fastbp.errors import DataError, DataWarning


def write(folder, rows, name="t.csv", head="price;share;y"):
    path = folder / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def said_by(call, *words):
    with pytest.warns(DataWarning) as said:
        found = call(*words)
    return found, [str(w.message) for w in said]


PRICES = ["0,5" if i % 50 == 0 else f"{i % 50}.200,5 €" for i in range(90)]
ROWS = [f"{'-' if i % 9 == 0 else price};{i % 7},{i % 10}%;{i % 3},25" for i, price in enumerate(PRICES)]


def test_how_numbers_are_written_is_said_and_goes_into_the_recipe(tmp_path):
    path = write(tmp_path, ROWS)
    prepared, said = said_by(prepare, Data(path=str(path), target="y", task="numbers"), 0, "float64")
    assert said == [
        f"{path}: column `y` is read as numbers, `0,25` as 0.25",
        f"{path}: column `price` is read as numbers, `1.200,5 €` as 1200.5, and `-` as missing",
        f"{path}: column `share` is read as numbers, `0,0%` as 0",
    ]
    recipe = Recipe.from_data(json.loads(json.dumps(prepared.recipe.to_data())))
    assert recipe.raw.styles == prepared.recipe.raw.styles
    plain = write(tmp_path, ["1,200;-;2,000", "3;4;-"], "plain.csv")
    alone = read_paths(str(plain), Data())
    assert alone.columns["price"].values.tolist() == [1.2, 3]
    comma = write(tmp_path, ['"1,200",-,"2,000"', "3,4,-"], "comma.csv", "price,share,y")
    for name, read in ((plain, recipe), (comma, recipe)):
        frame = read_paths(str(name), Data(), read.raw.reading(()))
        assert np.array_equal(frame.columns["price"].values, [1.2, 3.0])
        assert np.array_equal(frame.columns["share"].values, [np.nan, 4.0], equal_nan=True)
        assert frame.columns["y"].values[0] == 2.0
    assert read_paths(str(comma), Data()).columns["price"].values.tolist() == [1200, 3]


def test_texts_of_missing_values_are_those_of_the_settings_in_predictions_too(tmp_path):
    path = write(tmp_path, [f"{i if i % 4 else 'k.A.'};x{i % 2};{i % 3},5" for i in range(40)])
    data = Data(path=str(path), target="y", task="numbers", missing_texts=["k.A."], decimal=",")
    recipe, _ = said_by(prepare, data, 0, "float64")
    recipe = Recipe.from_data(json.loads(json.dumps(recipe.recipe.to_data())))
    other = write(tmp_path, ["k.A.;k.A.;1", "k.A.;x1;1"], "u.csv")
    frame = read_paths(str(other), Data(), recipe.raw.reading(["share"]))
    assert np.isnan(frame.columns["price"].values).all()
    assert frame.columns["share"].values.tolist() == [None, "x1"]


def test_numbers_that_mean_missing_are_missing_however_a_file_writes_them(tmp_path):
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(
        {"whole": [-999, 1, 2], "real": [0.5, -999.0, 9.0], "code": [5, -999, 9], "flag": [True, False, True]}
    )
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", **{name: table[name].to_numpy() for name in table.columns})
    (tmp_path / "people.csv").write_text("whole;real;code;flag\n-999,0;0,5;5;true\n1;-999 €;-999;false\n2;9;9;true\n")
    for name in ("t.csv", "t.parquet", "t.npz", "people.csv"):
        data = Data(missing_texts=["-999", "1"], columns={"code": "category"})
        frame = read_paths(str(tmp_path / name), data)
        assert np.array_equal(frame.columns["whole"].values, [np.nan, np.nan, 2], equal_nan=True)
        assert np.array_equal(frame.columns["real"].values, [0.5, np.nan, 9], equal_nan=True)
        assert frame.columns["code"].values.tolist() == ["5", None, "9"]
        assert frame.texts("flag").tolist() == ["True", "False", "True"]


def test_files_with_different_decimal_signs_are_refused(tmp_path):
    a = write(tmp_path, ["1,5;1;2"], "a.csv")
    b = write(tmp_path, ["1,200.5;1;2"], "b.csv")
    with pytest.raises(DataError) as caught:
        read_paths([str(a), str(b)], Data())
    assert str(caught.value) == (
        f"{b}: column `price` must have the decimal sign of the other files, `,`, got `1,200.5`\n"
        "hint: set `data.decimal`"
    )
    c = write(tmp_path, ["$7;1;2", "-;1;2"], "c.csv")
    column = read_paths([str(c), str(a), str(c)], Data()).columns["price"]
    assert np.array_equal(column.values, [7, np.nan, 1.5, 7, np.nan], equal_nan=True)
    assert (column.style.missing, column.example) == (("-",), "$7")


def test_booleans_of_several_files_are_booleans_unless_one_has_others(tmp_path):
    files = {"a.csv": ["True"], "b.csv": ["1", "0"], "c.csv": ["2"], "d.csv": ["maybe"]}
    paths = {n: str(write(tmp_path, rows, n, "k")) for n, rows in files.items()}
    assert read_paths([paths["a.csv"], paths["b.csv"]], Data()).texts("k").tolist() == ["True", "True", "False"]
    assert read_paths([paths["a.csv"], paths["c.csv"]], Data()).texts("k").tolist() == ["1", "2"]
    assert read_paths([paths["a.csv"], paths["d.csv"]], Data()).texts("k").tolist() == ["True", "maybe"]


ALL = Split(validation=0.0, test=0.0)
HOLES = [f"{7 * i % 100};{i % 5};{'' if i % 10 == 3 else ('yes', 'no')[i % 2]}" for i in range(100)]


@pytest.mark.parametrize("several", [False, True], ids=["path", "parts"])
def test_rows_without_a_target_are_dropped_where_that_is_asked_for(tmp_path, several):
    path = write(tmp_path, HOLES)
    given = {"train": str(path), "validation": str(path)} if several else {"path": str(path)}
    with pytest.raises(DataError, match=r"t.csv:\d+: target `y` must have a value"):
        prepare(Data(**given, target="y"), 0, "float64")
    data = Data(**given, target="y", missing_target="drop", split=ALL)
    prepared, said = said_by(prepare, data, 0, "float64")
    sentence = f"{path}: 10 of 100 rows have no target `y` and were dropped"
    parts = [sentence.replace(":", f", {name} rows:", 1) for name in ("train", "validation")]
    assert said == (parts if several else [sentence])
    whole = Data(path=str(write(tmp_path, [row for row in HOLES if row[-1] != ";"], "u.csv")), target="y", split=ALL)
    wanted = prepare(whole, 0, "float64").parts["train"]
    for part in prepared.parts.values():
        assert part.X.tobytes() == wanted.X.tobytes()
        assert part.y.tobytes() == wanted.y.tobytes()
    assert prepared.recipe.raw.drop


def test_rows_keep_their_lines_where_others_are_dropped(tmp_path):
    path = write(tmp_path, ["1;1;1.5", "2;1;", "3;1;inf"])
    with pytest.warns(DataWarning), pytest.raises(DataError) as caught:
        prepare(Data(train=str(path), target="y", task="numbers", missing_target="drop", split=ALL), 0, "float64")
    assert str(caught.value) == f"{path}:4: target `y` must be finite, got `inf`"


def test_a_table_without_any_target_is_refused(tmp_path):
    path = write(tmp_path, ["1;1;", "2;1;"])
    with pytest.raises(DataError) as caught:
        prepare(Data(path=str(path), target="y", missing_target="drop"), 0, "float64")
    assert str(caught.value) == f"{path}: target `y` must have a value in some rows, but has none"


def test_parts_of_a_table_say_what_training_did_not_see(tmp_path):
    rows = [f"{i};{'abc'[i % 3] if i % 4 else 'd'};{i % 2}" for i in range(80)]
    train = write(tmp_path, [row for row in rows if "d" not in row])
    other = write(tmp_path, [row for row in rows if "d" not in row] + ["1;d;1"], "v.csv")
    data = Data(train=str(train), validation=str(other), target="y", split=Split(test=0.0))
    _, said = said_by(prepare, data, 0, "float64")
    assert said == [
        f"{other}, validation rows: column `share` has values that training did not see in 1 of 61 rows (1.6%),"
        " such as `d`"
    ]
    data.validation = str(write(tmp_path, rows, "w.csv"))
    with pytest.raises(DataError, match=r"in all rows but 20\.0% at most, got others in 25\.0%, such as `d`"):
        prepare(data, 0, "float64")
    data.unseen = 0.25
    prepared, _ = said_by(prepare, data, 0, "float64")
    assert prepared.recipe.raw.unseen == 0.25
    frame = read_paths(str(tmp_path / "w.csv"), data)
    with pytest.raises(DataError, match=r"w.csv:2: column `share` must have a value that training saw, got `d`"):
        part_of(prepared.recipe, frame, "float64", strict=True)
