"""What `fastbp init` says of a table that is not as it should be, and of what it was not sure."""

import json
import random
import warnings
from pathlib import Path

import pytest

from fastbp.cli.main import main
from fastbp.config.text import read
from fastbp.errors import DataWarning


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(of, count=60):
    draw = random.Random(0)
    return "".join(",".join(map(str, of(i, draw))) + "\n" for i in range(count))


def begun(*arguments):
    """What `init` warns of in t.csv, and the configuration that it writes."""
    Path("new.yaml").unlink(missing_ok=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert main(["init", "t.csv", "-o", "new.yaml", *arguments]) == 0
    return [str(one.message) for one in said], read("new.yaml").data


def refused(capsys, *arguments):
    assert main(["init", "t.csv", "-o", "-", *arguments]) in (2, 3)
    out, err = capsys.readouterr()
    assert not out
    return err


def test_rows_without_a_target_are_dropped_and_counted(capsys):
    Path("t.csv").write_text(
        "x,constant,y\n" + rows(lambda i, d: (d.random(), int(i > 0), "" if i % 6 == 0 else d.choice("uv")))
    )
    said, config = begun()
    assert said == []
    assert config["data"]["missing_target"] == "drop"
    assert "missing_target: drop  # 10 of 60 rows have no target" in Path("new.yaml").read_text()
    assert "constant: ignore  # always 1" in Path("new.yaml").read_text()  # in the rows that are left
    with pytest.warns(DataWarning, match="^t.csv: 10 of 60 rows have no target `y` and were dropped$"):
        assert main(["check", "new.yaml", "-q"]) == 0
    Path("t.csv").write_text("x,y\n" + rows(lambda i, d: (i, "")))
    capsys.readouterr()
    assert refused(capsys) == "fastbp: t.csv: target `y` must have a value in some rows, but has none\n"
    Path("t.csv").write_text("x,y\n" + rows(lambda i, d: (d.random(), d.choice("uv"))))
    assert "missing_target" not in begun()[1]["data"]


def test_a_table_without_a_header_is_noticed_and_read_where_that_is_said(capsys):
    Path("t.csv").write_text(rows(lambda i, d: (round(d.random(), 3), d.choice(["red", "blue"]), d.choice("01"))))
    noticed = [
        "t.csv:1: the first line looks like a row, and is read as the names of the columns\n"
        "hint: if it is one, give `--no-header`"
    ]
    assert begun()[0] == noticed
    said, config = begun("--no-header", "-t", "c1")
    assert said == []
    assert config["data"]["header"] is False
    assert config["data"]["columns"] == {"c0": "number", "c2": "number"}
    capsys.readouterr()
    assert main(["check", "new.yaml", "--json"]) == 0
    assert sum(json.loads(capsys.readouterr().out)["rows"].values()) == 60


def test_columns_that_alone_tell_the_target_are_named():
    Path("t.csv").write_text("a,copy,y\n" + rows(lambda i, d: (d.random(), i / 8 + 0.01, -i / 8)))
    said, config = begun()
    leak = [
        "t.csv: column `copy` alone tells the target `y`\n"
        "hint: if it is known only once the target is, make it `ignore` in the configuration"
    ]
    assert said == leak
    assert config["data"]["columns"]["copy"] == "number"
    assert "copy: number  # 0.01 to 7.385; alone tells `y`\n" in Path("new.yaml").read_text()
    for wanted, *less in ((leak,), ([], "--set", "data.columns.copy=ignore")):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            assert main(["check", "new.yaml", "-q", *less]) == 0
        assert [str(one.message) for one in found] == wanted


MISTAKES = {
    "latin-1": (
        "ü,y\n1,2\n".encode("latin-1"),
        (),
        "t.csv:1: must be UTF-8, got a byte `0xfc`\nhint: set `--encoding`, such as to `latin-1` or `cp1252`",
    ),
    "two delimiters": (
        b"a,b;c\n1,2;3\n4,5;6\n",
        (),
        "t.csv: must have rows that one delimiter divides, but `,` and `;` do\nhint: set `--delimiter` to one",
    ),
    "no encoding": (
        b"a,b\n1,2\n",
        ("--encoding", "x"),
        "`--encoding` must be an encoding of texts, such as `utf-8` or `latin-1`, got `x`",
    ),
    "no delimiter": (b"a,b\n1,2\n", ("--delimiter", ""), "`--delimiter` must be one character, got ``"),
    "a row twice": (
        b"5,5\n1,2\n",
        (),
        "t.csv:1: column names must be unique, got `5` twice\nhint: if the first line is a row, give `--no-header`",
    ),
    "spaces": (
        b"a b y\n1 2 u\n2 3 v\n",
        (),
        "t.csv: must have a column beside the target `a b y` to predict from\n"
        "hint: `--delimiter` says what divides the fields of a line",
    ),
    "targets only": (
        b"a,b\n1,2\n2,3\n",
        ("-t", "a", "-t", "b"),
        "t.csv: must have a column beside the target `a` and `b` to predict from",
    ),
    "a page": (
        b"<!DOCTYPE html>\n<html></html>\n",
        (),
        "t.csv: must have a column beside the target `<!DOCTYPE html>` to predict from\n"
        "hint: `--delimiter` says what divides the fields of a line",
    ),
    "names to predict": (
        b"x,y\n" + b"".join(b"%d,n%d\n" % (i % 7, i) for i in range(40)),
        (),
        "t.csv: target `y` must have classes that repeat, got 40 different texts, most of them once\n"
        "hint: name another target, or have every text be a class by `data.task: classes`",
    ),
}


@pytest.mark.parametrize(("content", "arguments", "wanted"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_wrong_with_a_table_is_set_by_options(content, arguments, wanted, capsys):
    Path("t.csv").write_bytes(content)
    assert refused(capsys, *arguments) == f"fastbp: {wanted}\n"
