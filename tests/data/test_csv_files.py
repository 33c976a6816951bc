"""Tables: what is read, and the file and line of what is not."""

import gzip
import tracemalloc

import numpy as np
import pytest

from fastbp.data import array_files, csv_files
from fastbp.data.csv_files import CELLS, read_csv
from fastbp.errors import ConfigError, DataError

OOPS = '\nhint: if that is a missing number, `data.missing_texts: ["oops"]` has it read so in training'


def write(folder, content, name="t.csv"):
    path = folder / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def columns(frame):
    return {name: column.values.tolist() for name, column in frame.columns.items()}


def message(path, **words):
    with pytest.raises(DataError) as caught:
        read_csv(path, **words)
    return str(caught.value).replace(str(path), path.name)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old-mac"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
def test_line_ends_of_every_system_are_read(tmp_path, end, last):
    text = end.join(("a,b", "1,x", "", "2,y")) + (end if last else "")
    frame = read_csv(write(tmp_path, text))
    assert columns(frame) == {"a": [1.0, 2.0], "b": ["x", "y"]}
    assert frame.lines.tolist() == [2, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old-mac"])
def test_quoted_fields_hold_commas_quotes_and_line_ends(tmp_path, end):
    text = end.join(("a,b", '"x, y","he said ""no"""', f'"two{end}lines",z', "u,v")) + end
    frame = read_csv(write(tmp_path, text))
    assert columns(frame) == {"a": ["x, y", f"two{end}lines", "u"], "b": ['he said "no"', "z", "v"]}
    assert frame.lines.tolist() == [2, 3, 5]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV.GZ"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path, name):
    path = tmp_path / name
    content = b"\xef\xbb\xbf" + "a,ü\n1,é\n".encode()
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert columns(read_csv(path)) == {"a": [1.0], "ü": ["é"]}


@pytest.mark.parametrize("token", ["", "NA", "N/A", "na", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?", " "])
def test_what_stands_for_missing_is_missing_in_numbers_and_texts(tmp_path, token):
    frame = read_csv(write(tmp_path, f"a,b\n1,x\n{token},{token}\n"))
    numbers, texts = frame.columns["a"].values, frame.columns["b"].values
    assert numbers.dtype == np.float64
    assert numbers[0] == 1.0
    assert np.isnan(numbers[1])
    assert texts.tolist() == ["x", None]


def test_a_column_of_nothing_is_numbers_that_are_missing(tmp_path):
    column = read_csv(write(tmp_path, "a,b\n1,\n2,?\n")).columns["b"]
    assert not column.is_text
    assert np.isnan(column.values).all()


def test_blank_lines_are_skipped_and_a_quoted_nothing_is_a_row(tmp_path):
    frame = read_csv(write(tmp_path, 'a\n1\n\n   \n""\n2\n'))
    assert frame.lines.tolist() == [2, 5, 6]
    assert np.isnan(frame.columns["a"].values[1])


def test_spaces_around_texts_and_names_are_cut(tmp_path):
    assert columns(read_csv(write(tmp_path, " a , b\n 1 , x y \n"))) == {"a": [1.0], "b": ["x y"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e308", 1e308), ("-1E-300", -1e-300), ("+5", 5.0), (" 7 ", 7.0), ("123456789012345678", 123456789012345678.0)],
)
def test_numbers_are_those_that_python_reads(tmp_path, text, value):
    assert columns(read_csv(write(tmp_path, f"a,b\n{text},0\n")))["a"] == [value]


def test_infinity_and_what_is_too_large_are_numbers_for_which_inputs_give_the_row(tmp_path):
    assert columns(read_csv(write(tmp_path, "a,b\n1,1\ninf,-Infinity\n1e999,1\n"))) == {
        "a": [1.0, np.inf, np.inf],
        "b": [1.0, -np.inf, 1.0],
    }


@pytest.mark.parametrize("text", ["1_000", "0x10", "12-3", "1e", "five"])
def test_what_only_resembles_a_number_makes_a_column_of_texts(tmp_path, text):
    assert columns(read_csv(write(tmp_path, f"a;b\n1;0\n{text};0\n"), ";"))["a"] == ["1", text]


def test_one_text_far_down_makes_a_column_of_texts_and_the_message_names_its_line(tmp_path):
    rows = [str(i) for i in range(CELLS + 10)]
    rows[CELLS + 5] = "oops"
    frame = read_csv(write(tmp_path, "a\n" + "\n".join(rows)))
    assert frame.columns["a"].values.tolist() == rows
    with pytest.raises(DataError) as caught:
        frame.numbers("a")
    assert str(caught.value) == f"{tmp_path / 't.csv'}:{CELLS + 7}: column `a` must be a number, got `oops`{OOPS}"


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " "], ids=["semicolon", "tab", "bar", "space"])
def test_other_delimiters(tmp_path, delimiter):
    text = f"a{delimiter}b\n1{delimiter}x,y\n"
    assert columns(read_csv(write(tmp_path, text), delimiter)) == {"a": [1.0], "b": ["x,y"]}


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r"])
def test_a_delimiter_that_cannot_be_one_is_refused(tmp_path, delimiter):
    with pytest.raises(ConfigError) as caught:
        read_csv(write(tmp_path, "a,b\n1,2\n"), delimiter)
    assert str(caught.value) == f"`data.delimiter` must be neither a quote nor a line end, got `{delimiter!r}`"


def test_without_a_header_columns_are_numbered_and_the_first_line_is_a_row(tmp_path):
    frame = read_csv(write(tmp_path, "1,x\n2,y\n"), header=False)
    assert columns(frame) == {"c0": [1.0, 2.0], "c1": ["x", "y"]}
    assert frame.lines.tolist() == [1, 2]
    assert message(write(tmp_path, "1,x\n2\n"), header=False) == "t.csv:2: a row must have 2 fields, got 1" + ONE


def test_one_row_and_one_column(tmp_path):
    assert columns(read_csv(write(tmp_path, "a\n3"))) == {"a": [3.0]}


ONE = "\nhint: lines that are no rows, such as remarks, must be taken out of the file"
HINT = "\nhint: set `data.encoding`, such as to `latin-1` or `cp1252`"
MISTAKES = {
    "ragged": (
        "a,b\n1,2\n1,2,3\n",
        "t.csv:3: a row must have 2 fields, got 3\nhint: a field with a delimiter in it must stand in quotes",
    ),
    "short": ("a,b\n1\n", "t.csv:2: a row must have 2 fields, got 1" + ONE),
    "one field less": (
        "a,b,c\n1,2\n",
        "t.csv:2: a row must have 3 fields, got 2\nhint: empty fields need a delimiter too",
    ),
    "a title": (
        "Sales of 2020\n\na,b\n1,2\n",
        "t.csv:3: a row must have 1 field, got 2\n"
        "hint: lines above the names of the columns must be taken out of the file",
    ),
    "ragged after quoted lines": ('a,b\n"1\n\n2",x\n\n5\n', "t.csv:6: a row must have 2 fields, got 1" + ONE),
    "ragged with quoted lines": ('a,b\n1,2\n"x\ny"\n', "t.csv:3: a row must have 2 fields, got 1" + ONE),
    "duplicate": (
        "a,b, a\n1,2,3\n",
        "t.csv:1: column names must be unique, got `a` twice\nhint: rename one `a` in the first line",
    ),
    "nameless": (
        "\n\na,,b\n1,2,3\n",
        "t.csv:3: every column must have a name, but column 2 has none\n"
        "hint: give it a name in the first line; pandas writes no index with `index=False`",
    ),
    "nameless in a row": (
        "a,,5\n1,2,3\n",
        "t.csv:1: every column must have a name, but column 2 has none\n"
        "hint: if the first line is a row, set `data.header` to false",
    ),
    "empty": ("", "t.csv: must have rows, but is empty"),
    "blank": ("\n \n", "t.csv: must have rows, but is empty"),
    "header only": ("a,b\n", "t.csv: must have rows below its header"),
    "open quote": ('a,b\n1,2\n"3,4\n5,6\n', "t.csv:3: a quote that is opened must be closed before the file ends"),
    "a field without end": (
        'a,b\n1,2\n"' + "3," * 70_000,
        "t.csv:3: a field must have at most 131,072 characters, got more; is a quote not closed?",
    ),
    "text behind a quote": (
        'a,b\n1,2\n"3"4,5\n',
        "t.csv:3: a closing quote must stand at the end of its field (a quote inside is written twice)",
    ),
    "not utf-8": (b"a,b\n1,2\n3,caf\xe9\n", "t.csv:3: must be UTF-8, got a byte `0xe9`" + HINT),
    "not utf-8 in a name": (b"a,\xff\n1,2\n", "t.csv:1: must be UTF-8, got a byte `0xff`" + HINT),
    "not utf-8 far down": (b"a\n" + b"1\n" * 20000 + b"\x80\n", "t.csv:20002: must be UTF-8, got a byte `0x80`" + HINT),
    "half of utf-16": ("a,b\n1,2\n".encode("utf-16")[:-1], "t.csv:2: must be UTF-16"),
    "utf-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "t.csv:1: must be text, got a byte `0x00`"),
    "nul": (b"a,b\n1,2\n\x00,4\n", "t.csv:3: must be text, got a byte `0x00`"),
}


@pytest.mark.parametrize(("content", "wanted"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_mistakes_are_named_with_file_and_line(tmp_path, content, wanted, zipped):
    name = "t.csv.gz" if zipped else "t.csv"
    assert message(write(tmp_path, content, name)) == wanted.replace("t.csv", name)


def test_damaged_gzip_files_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    whole = gzip.compress(("a,b\n" + "".join(f"{x},{x}\n" for x in rng.random(5000))).encode())
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert message(path) == "t.csv.gz: must be a complete compressed file, but ends early"
    path.write_bytes(b"a,b\n1,2\n")
    assert message(path) == (
        "t.csv.gz: must be compressed with gzip, as its name says, but is not\nhint: if it is text, name it `t.csv`"
    )
    for at in range(10, len(whole), 997):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert message(path).startswith("t.csv.gz")


def test_no_file(tmp_path):
    assert message(tmp_path / "t.csv") == "t.csv: must be readable (No such file or directory)"


def test_a_million_rows(tmp_path):
    rows = 1_000_000
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + "\n".join(f"{i},{i / 8},{'xyz'[i % 3]}" for i in range(rows)))
    frame = read_csv(path)
    assert len(frame) == rows
    a, b, c = (frame.columns[name].values for name in "abc")
    assert (a == np.arange(rows)).all()
    assert (b == np.arange(rows) / 8).all()
    for row in (0, 1, CELLS - 1, CELLS, 777_777, rows - 1):
        assert c[row] == "xyz"[row % 3]
        assert frame.place(row) == f"{path}:{row + 2}: "


# More than there is memory for


@pytest.mark.parametrize("header", [True, False])
def test_rows_that_unpack_to_more_than_memory_are_refused_on_the_way(tmp_path, monkeypatch, header):
    monkeypatch.setattr(array_files, "memory", lambda: 2 << 20)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"1,2\n" * 1_000_000))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(DataError) as caught:
        read_csv(path, header=header)
    line = (1 << 20) // (2 * csv_files.FIELD + 2) + 1
    assert str(caught.value) == f"{path}:{line}: rows must fit into the 1 MiB that a file may take, got more"


def test_a_line_that_does_not_end_is_refused_before_all_of_it_is_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"a\n")
        for _ in range(40):
            file.write(b"x" * (1 << 24))
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        read_csv(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value) == f"{path}:2: a line must have at most 64 MiB, got more"
    assert peak < 400 << 20


@pytest.mark.parametrize("kind", ["numbers", "words", "texts"])
def test_a_table_takes_no_more_than_some_times_its_size(tmp_path, kind):
    rng = np.random.default_rng(0)
    cell = {
        "numbers": lambda: f"{rng.random():.6f}",
        "words": lambda: "abcdefgh"[rng.integers(8)] * 5,
        "texts": lambda: f"name {rng.integers(10**9)}",
    }[kind]
    path = tmp_path / "t.csv"
    path.write_text("a,b,c,d\n" + "".join(",".join(cell() for _ in range(4)) + "\n" for _ in range(60_000)))
    tracemalloc.start()
    read_csv(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * path.stat().st_size
