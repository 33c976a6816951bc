"""Predictions beside the tables that they are for: nothing that is kept is written in another way."""

import json

import numpy as np
import pytest

from fastbp.config.schema import Data
from fastbp.data.files import read_paths
from fastbp.runs import tables
from fastbp.runs.tables import Predictions

CELLS = {
    "id": ["9007199254740993", "12345678901234567890", "-0", "007"],
    "zip": ["02301", "2301", "00000", "1e5"],
    "price": ["$2,972.89", "20%", "1_000", "- "],
    "name": [' "x, y"', '"he said ""no"""', '""', "NA"],
    "gone": ["", "?", " ", "null"],
}


def lines(delimiter=",", end="\n", last=True, quote='"'):
    rows = [list(CELLS), *map(list, zip(*CELLS.values(), strict=True))]
    texts = [
        delimiter.join(
            cell.replace('"', quote).replace(",", ".") if delimiter == "," else cell.replace('"', quote) for cell in row
        )
        for row in rows
    ]
    return end.join(texts) + end * last


def kept(path, columns=None, **data):
    frame = read_paths(path if isinstance(path, list) else str(path), Data(**data), keep=True)
    columns = columns or {"y": np.array([f"c{i}" for i in range(len(frame))], object), "p": np.arange(len(frame)) / 8}
    return Predictions(columns, frame.written)


def text_of(table, **words):
    return "".join(table.csv(**words))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old-mac"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
def test_the_text_of_each_row_is_repeated(tmp_path, end, delimiter, last):
    text = "\ufeff" + lines(delimiter, end, last)
    (tmp_path / "t.csv").write_bytes(text.encode())
    found = text_of(kept(tmp_path / "t.csv"))
    closed = text + ("" if last else "\n")
    new = [f"{delimiter}{n}" for n in (f"y{delimiter}p", *(f"c{i}{delimiter}{i / 8}" for i in range(4)))]
    wanted = "".join(a + b for a, b in zip(closed.splitlines(), new, strict=True))
    assert found.replace("\r", "").replace("\n", "") == wanted
    assert [line[: -len(n)] for line, n in zip(found.splitlines(), new, strict=True)] == closed.splitlines()
    assert found.count(end) == 5 - (not last and end != "\n")


def test_blank_lines_and_fields_of_several_lines_stay(tmp_path):
    text = '\n\na,b\n\n1,"x\n\ny"\n  \n2,z\n\n\n'
    (tmp_path / "t.csv").write_text(text)
    assert text_of(kept(tmp_path / "t.csv")) == ('\n\na,b,y,p\n\n1,"x\n\ny",c0,0.0\n  \n2,z,c1,0.125\n\n\n')


def test_a_table_without_a_header_gets_none(tmp_path):
    (tmp_path / "t.csv").write_text("1,x\n2,y\n")
    assert text_of(kept(tmp_path / "t.csv", header=False)) == "1,x,c0,0.0\n2,y,c1,0.125\n"


def test_predictions_are_quoted_as_the_table_is(tmp_path):
    (tmp_path / "t.csv").write_text("'a';'b'\n'1;2';'x'\n")
    columns = {"y;": np.array(["it's"], object)}
    assert text_of(kept(tmp_path / "t.csv", columns)) == "'a';'b';'y;'\n'1;2';'x';'it''s'\n"


def test_files_that_are_alike_are_repeated_and_others_are_written_anew(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1.50,"x"\n')
    (tmp_path / "b.csv").write_text("a,b\n02,y")
    (tmp_path / "c.csv").write_text('b;a\nz;3.0\n"u,v";4\n')
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv")]
    assert text_of(kept(paths[:2])) == 'a,b,y,p\n1.50,"x",c0,0.0\n02,y,c1,0.125\n'
    assert text_of(kept(paths)) == ('a,b,y,p\n1.50,x,c0,0.0\n02,y,c1,0.125\n3.0,z,c2,0.25\n4,"u,v",c3,0.375\n')


def test_pieces_of_the_text_are_put_together_again(tmp_path, monkeypatch):
    from fastbp.data import written

    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i}.50\n" for i in range(100)))
    expected = text_of(kept(tmp_path / "t.csv"))
    for chunk, piece in ((1, 1), (7, 40), (99, 10**6)):
        monkeypatch.setattr(tables, "CHUNK", chunk)
        monkeypatch.setattr(written, "PIECE", piece)
        assert text_of(kept(tmp_path / "t.csv")) == expected


def test_a_name_that_is_taken_is_that_of_the_table(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    assert text_of(kept(tmp_path / "t.csv")).splitlines()[0] == "a,y,predicted y,p"


def test_formulas_are_quoted_and_numbers_stay_as_they_are_written(tmp_path):
    (tmp_path / "t.csv").write_text('a;=b\n-1.50;"=1+1"\n+2;"x;y"\n')
    assert text_of(kept(tmp_path / "t.csv"), quote_formulas=True) == (
        "a;'=b;y;p\n-1.50;'=1+1;c0;0.0\n+2;\"x;y\";c1;0.125\n"
    )


def test_json_has_numbers_as_they_are_written(tmp_path):
    text = 'id,real,zip,name\n9007199254740993,1.50,02301,NA\n12345678901234567890,,2301,"a ""b"""\n'
    (tmp_path / "t.csv").write_text(text)
    found = "".join(kept(tmp_path / "t.csv").jsonl()).splitlines()
    assert found[0] == '{"id": 9007199254740993, "real": 1.50, "zip": "02301", "name": "NA", "y": "c0", "p": 0.0}'
    assert json.loads(found[1]) == {
        "id": 12345678901234567890, "real": None, "zip": "2301", "name": 'a "b"', "y": "c1", "p": 0.125
    }  # fmt: skip


def test_arrays_have_the_type_of_what_a_column_has(tmp_path):
    text = "id,real,zip,big,holes\n9007199254740993,1.50,02301,9007199254740993,7\n-5,2,x,,\n"
    (tmp_path / "t.csv").write_text(text)
    found = kept(tmp_path / "t.csv").arrays()
    assert found["id"].tolist() == [9007199254740993, -5]
    assert found["id"].dtype == np.int64
    assert found["real"].tolist() == [1.5, 2.0]
    assert found["zip"].tolist() == ["02301", "x"]
    assert found["big"].tolist() == ["9007199254740993", ""]
    assert np.array_equal(found["holes"], [7, np.nan], equal_nan=True)


def typed(pl):
    import datetime

    return pl.DataFrame(
        {
            "id": pl.Series([9007199254740993, None], dtype=pl.Int64),
            "small": pl.Series([0.1, None], dtype=pl.Float32),
            "flag": [True, None],
            "day": [datetime.date(2020, 1, 2), None],
            "zip": ["02301", None],
        }
    )


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_columns_of_parquet_and_arrow_keep_their_type(tmp_path, ending):
    pl = pytest.importorskip("polars")
    table, path = typed(pl), tmp_path / f"t.{ending}"
    table.write_parquet(path) if ending == "parquet" else table.write_ipc(path)
    found = kept(path).frame()
    assert found.columns == [*table.columns, "y", "p"]
    assert found[:, : table.width].equals(table)
    assert found.dtypes == [*table.dtypes, pl.String, pl.Float64]
    both = kept([str(path), str(path)]).frame()
    assert both[:, : table.width].equals(pl.concat([table, table]))
    assert text_of(kept(path)) == (
        "id,small,flag,day,zip,y,p\n9007199254740993,0.1,true,2020-01-02,02301,c0,0.0\n,,,,,c1,0.125\n"
    )
    assert [json.loads(line) for line in "".join(kept(path).jsonl()).splitlines()][1] == {
        "id": None, "small": None, "flag": None, "day": None, "zip": None, "y": "c1", "p": 0.125
    }  # fmt: skip


def test_a_text_table_becomes_parquet_with_types(tmp_path):
    pl = pytest.importorskip("polars")
    (tmp_path / "t.csv").write_text("id,real,zip\n9007199254740993,1.5,02301\n2,,\n")
    found = kept(tmp_path / "t.csv").frame()
    assert found.dtypes[:3] == [pl.Int64, pl.Float64, pl.String]
    assert found["id"].to_list() == [9007199254740993, 2]
    assert found["zip"].to_list() == ["02301", None]


def test_columns_of_archives_keep_their_type(tmp_path):
    np.savez(tmp_path / "t.npz", id=np.array([9007199254740993, 2]), k=np.array(["a", "b"]), ok=np.array([True, False]))
    found = kept(tmp_path / "t.npz").arrays()
    assert found["id"].tolist() == [9007199254740993, 2]
    assert (found["id"].dtype, found["ok"].dtype) == (np.int64, bool)
    assert text_of(kept(tmp_path / "t.npz")).splitlines()[1] == "9007199254740993,a,true,c0,0.0"
