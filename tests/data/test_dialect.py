"""What a table of text is written in, found out of its first lines."""

import gzip
import re
import sys
import types

import numpy as np
import pytest

from fastbp.data import csv_files
from fastbp.data.csv_files import read_csv
from fastbp.errors import ConfigError, DataError, DataWarning, DependencyError


def write(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(frame):
    return {name: column.values.tolist() for name, column in frame.columns.items()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_delimiter_and_quotes_are_found_out(tmp_path, delimiter, quote):
    others = "".join({",", ";", "\t", "|"} - {delimiter})
    field = f"{quote}x{delimiter}{others}{quote}{quote}y{quote}"
    rows = [f"{quote}a{quote}", f"{quote}b{quote}"], ["1.5", field], ["2", "z"]
    frame = read_csv(write(tmp_path, "\n".join(delimiter.join(row) for row in rows)))
    assert columns(frame) == {"a": [1.5, 2.0], "b": [f"x{delimiter}{others}{quote}y", "z"]}


def test_decimal_commas_do_not_divide_where_semicolons_do(tmp_path):
    assert columns(read_csv(write(tmp_path, "a;b\n1,5;2,25\n3,125;4\n"))) == {"a": [1.5, 3.125], "b": [2.25, 4.0]}


def test_one_column_has_no_delimiter(tmp_path):
    assert columns(read_csv(write(tmp_path, "a\nx;y\nz\n"))) == {"a": ["x;y", "z"]}


def test_the_sample_may_end_within_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_files, "SAMPLE", 20)
    text = 'a;b\n1;"x\n' + "y\n" * 40 + '"\n2;z\n'
    frame = read_csv(write(tmp_path, text))
    assert columns(frame) == {"a": [1.0, 2.0], "b": [("x\n" + "y\n" * 40).strip(), "z"]}
    assert frame.lines.tolist() == [2, 44]
    frame = read_csv(write(tmp_path, text.replace("a;b", "a,1,2,3;b;c").replace("z", "z;z").replace('"\n2', '";3\n2')))
    assert list(frame.columns) == ["a,1,2,3", "b", "c"]


def test_a_delimiter_in_the_header_alone_divides_nothing(tmp_path):
    assert columns(read_csv(write(tmp_path, "a,b;c\n1;2\n3;4\n"))) == {"a,b": [1.0, 3.0], "c": [2.0, 4.0]}


def test_a_delimiter_that_is_not_clear_is_asked_for(tmp_path):
    path = write(tmp_path, "a,b;c\n1,2;3\n")
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert str(caught.value) == (
        f"{path}: must have rows that one delimiter divides, but `,` and `;` do\nhint: set `data.delimiter` to one"
    )
    assert columns(read_csv(path, ";")) == {"a,b": [1.2], "c": [3.0]}


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_known_by_its_mark(tmp_path, code):
    text = ("" if code == "utf-16" else "\ufeff") + "a\tü\n1\té\n"
    assert columns(read_csv(write(tmp_path, text.encode(code)))) == {"a": [1.0], "ü": ["é"]}


@pytest.mark.parametrize("code", ["latin-1", "cp1252", "utf-16-le", "UTF-8"])
def test_other_encodings_are_read_where_they_are_named(tmp_path, code):
    path = write(tmp_path, "a,ü\n1,é\n".encode(code))
    assert columns(read_csv(path, encoding=code)) == {"a": [1.0], "ü": ["é"]}


def test_bytes_that_an_encoding_does_not_have_are_refused(tmp_path):
    path = write(tmp_path, b"a,b\n1,\x81\n")
    with pytest.raises(DataError) as caught:
        read_csv(path, encoding="cp1252")
    assert str(caught.value) == f"{path}:2: must be cp1252, got a byte `0x81`"


def test_utf_16_without_a_mark_is_refused(tmp_path):
    path = write(tmp_path, "a,ü\n1,é\n".encode("utf-16-le"))
    with pytest.raises(DataError) as caught:
        read_csv(path, encoding="utf-16")
    assert str(caught.value) == f"{path}:1: must be utf-16"


@pytest.mark.parametrize("code", ["latin-0", "base64", "hex", "x\0"])
def test_what_is_no_encoding_is_refused(tmp_path, code):
    with pytest.raises(ConfigError) as caught:
        read_csv(write(tmp_path, "a\n1\n"), encoding=code)
    shown = code.replace("\0", "\\x00")
    assert str(caught.value) == (
        f"`data.encoding` must be an encoding of texts, such as `utf-8` or `latin-1`, got `{shown}`"
    )


def test_a_header_of_numbers_is_noticed(tmp_path):
    path = write(tmp_path, "\n1,2.5\n3,4\n")
    with pytest.warns(DataWarning) as said:
        assert columns(read_csv(path)) == {"1": [3.0], "2.5": [4.0]}
    assert [str(w.message) for w in said] == [
        f"{path}:2: the first line looks like a row, and is read as the names of the columns\n"
        "hint: if it is one, set `data.header` to false"
    ]
    assert columns(read_csv(path, header=False)) == {"c0": [1.0, 3.0], "c1": [2.5, 4.0]}
    assert columns(read_csv(write(tmp_path, "2019,2020\nx,4\n"))) == {"2019": ["x"], "2020": [4.0]}
    assert columns(read_csv(write(tmp_path, "2019,b\n3,4\n"))) == {"2019": [3.0], "b": [4.0]}


def test_a_row_in_the_place_of_a_header_is_refused_with_what_to_do(tmp_path):
    path = write(tmp_path, "1,1\n3,4\n")
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert str(caught.value) == (
        f"{path}:1: column names must be unique, got `1` twice\nhint: if the first line is a row, set `data.header`"
        " to false"
    )


# Compressed files


class Zstd(types.ModuleType):
    """A module that unpacks gzip under the name of one that unpacks Zstandard."""

    ZstdFile = staticmethod(lambda file: gzip.GzipFile(fileobj=file))


def without_zstandard(monkeypatch):
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)


def test_zstandard_is_asked_for_where_it_is_not_there(tmp_path, monkeypatch):
    without_zstandard(monkeypatch)
    path = write(tmp_path, b"\x28\xb5\x2f\xfd", "t.csv.zst")
    with pytest.raises(DependencyError) as caught:
        read_csv(path)
    assert str(caught.value) == (
        f"{path}: Zstandard needs Python 3.14 or the package `backports.zstd`, which is not installed\n"
        'hint: pip install "fastbp[tables]"'
    )


def test_zstandard_is_what_python_has_of_it(tmp_path, monkeypatch):
    without_zstandard(monkeypatch)
    monkeypatch.setitem(sys.modules, "compression.zstd", Zstd("compression.zstd"))
    path = write(tmp_path, gzip.compress(b"a,b\n1,x\n"), "t.csv.zst")
    assert columns(read_csv(path)) == {"a": [1.0], "b": ["x"]}


def test_a_compressed_file_is_known_by_its_content(tmp_path):
    path = write(tmp_path, gzip.compress(b"a,b\n1,x\n"))
    assert columns(read_csv(path)) == {"a": [1.0], "b": ["x"]}


def test_zstandard_files_are_read_whole_or_refused(tmp_path):
    try:
        from compression import zstd
    except ImportError:
        zstd = pytest.importorskip("backports.zstd")
    rng = np.random.default_rng(0)
    text = "a,b\n" + "".join(f"{x},{x}\n" for x in rng.random(5000))
    whole = zstd.compress(text.encode())
    assert len(read_csv(write(tmp_path, whole, "t.csv.zst"))) == 5000
    for content, said in (
        (b"a,b\n1,2\n", "must be compressed with Zstandard,"),
        (whole[:20] + b"x" * 99 + whole[119:], ""),
    ):
        with pytest.raises(DataError, match=re.escape(f"t.csv.zst: {said}")):
            read_csv(write(tmp_path, content, "t.csv.zst"))
    for size in (len(whole) // 2, len(whole) - 1):
        with pytest.raises(DataError, match="must be a complete compressed file, but ends early"):
            read_csv(write(tmp_path, whole[:size], "t.csv.zst"))
