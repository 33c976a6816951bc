"""Tables on the command line: stdin and stdout, patterns of files, copies of what is kept, numbers as written."""

import gzip
import io
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.errors import DataWarning

HEAD = "id;zip;flag;price;city;y"
CITIES = ("Bern", '"Basel; Stadt"', "Genf ")


def rows(count, first=0):
    rng = np.random.default_rng(first)
    for i in range(count):
        good = i % 2
        flag = ("True" if rng.random() < 0.8 else "False") if good else ("False" if rng.random() < 0.8 else "True")
        price = "-" if i % 11 == 5 else f"CHF{i}" if i < 0 else f"{1 + good},{rng.integers(10, 99)} €"
        yield f"{9007199254740993 + i};{2301 + i % 8:05};{flag};{price};{CITIES[i % 3]};{('no', 'yes')[good]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a table as a spreadsheet of Switzerland writes it."""
    folder = tmp_path_factory.mktemp("tables")
    before = os.getcwd()
    os.chdir(folder)
    Path("t.csv").write_bytes(("\n".join([HEAD, *rows(120)]) + "\n").encode())
    Path("t.yaml").write_text(
        "data: {path: t.csv, target: y, columns: {id: ignore, zip: category, flag: category}}\n"
        "network: {hidden: [8]}\ntrainer: {epochs: 20, optimizer: {name: adam, lr: 0.05}}\n"
    )
    with pytest.warns(DataWarning, match="column `price` is read as numbers, `1,.. €` as 1...*, and `-` as missing"):
        assert main(["train", "t.yaml", "--run-dir", "run", "-q"]) == 0
    os.chdir(before)
    return folder


@pytest.fixture
def here(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    capsys.readouterr()
    return trained


def output(capsys, *arguments, stdin=None, monkeypatch=None):
    if stdin is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def test_the_table_is_repeated_byte_for_byte(here, capsys):
    out = output(capsys, "predict", "run", "t.csv", "--keep", "--probabilities")
    table = Path("t.csv").read_text()
    assert "\n".join(line.rsplit(";", 3)[0] for line in out.splitlines()) + "\n" == table
    assert out.splitlines()[0] == f"{HEAD};predicted y;y = no;y = yes"
    alone = output(capsys, "predict", "run", "t.csv")
    assert [line.rsplit(";", 3)[1] for line in out.splitlines()[1:]] == alone.splitlines()[1:]


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize("target", [[], ["-o", "-"]], ids=["default", "dash"])
def test_stdin_is_a_table_and_stdout_a_file(here, capsys, monkeypatch, packed, target):
    expected = output(capsys, "predict", "run", "t.csv", "--keep")
    content = packed(Path("t.csv").read_bytes())
    found = output(capsys, "predict", "run", "-", "--keep", *target, stdin=content, monkeypatch=monkeypatch)
    assert found == expected
    found = output(capsys, "evaluate", "run", "-", "--json", stdin=content, monkeypatch=monkeypatch)
    assert json.loads(found) == json.loads(output(capsys, "evaluate", "run", "t.csv", "--json"))


def test_parquet_arrow_and_arrays_come_over_stdin_too(here, capsys, monkeypatch):
    pl = pytest.importorskip("polars")
    table = pl.read_csv("t.csv", separator=";", infer_schema_length=0)
    table = table.with_columns(pl.col("flag") == "True", pl.col("id").cast(pl.Int64))
    expected = output(capsys, "predict", "run", "t.csv")
    for write in (table.write_parquet, table.write_ipc):
        content = io.BytesIO()
        write(content)
        arguments = ("predict", "run", "-")
        assert output(capsys, *arguments, stdin=content.getvalue(), monkeypatch=monkeypatch) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"PAR1 nonsense")))
    assert main(["predict", "run", "-"]) == 3
    assert re.fullmatch(r"fastbp: \S*stdin\S*: must be a table that Polars can read .*\n", capsys.readouterr().err)


def test_a_table_of_training_must_be_a_file(here, capsys):
    assert main(["train", "t.yaml", "--set", "data.path='-'", "--run-dir", "other"]) == 2
    assert capsys.readouterr().err == (
        "fastbp: --set data.path='-': `data.path` must name files, got `-`\n"
        "hint: a run reads its table again, so stdin is for `predict` and `evaluate`\n"
    )
    assert not Path("other").exists()


def test_patterns_name_the_files_that_match(here, capsys):
    lines = Path("t.csv").read_text().splitlines()
    Path("parts/deep").mkdir(parents=True, exist_ok=True)
    for name, part in (("b", lines[41:]), ("a", lines[1:41])):
        Path(f"parts/deep/{name}.csv").write_text("\n".join([lines[0], *part]) + "\n")
    expected = output(capsys, "predict", "run", "t.csv", "--keep")
    for pattern in ("parts/deep/*.csv", "parts/**/deep/[ab].csv", "parts/deep"):
        assert output(capsys, "predict", "run", pattern, "--keep") == expected
    assert main(["predict", "run", "parts/*.csv"]) == 3
    assert capsys.readouterr().err == "fastbp: parts/*.csv: must match a file, but there is none\n"
    assert main(["predict", "run", "parts/deep/*.csv", "-o", "parts/deep/a.csv"]) == 2
    assert "`--output` must not be one of the input files" in capsys.readouterr().err
    Path("[x].csv").write_text(Path("t.csv").read_text())
    assert output(capsys, "predict", "run", "[x].csv", "--keep") == expected


def test_a_run_on_a_pattern_is_evaluated_on_it_from_anywhere(here, capsys, tmp_path, monkeypatch):
    Path("some").mkdir(exist_ok=True)
    Path("some/a.csv").write_text(Path("t.csv").read_text())
    with pytest.warns(DataWarning):
        assert main(["train", "t.yaml", "--set", "data.path=some/*.csv", "--run-dir", str(tmp_path / "r"), "-q"]) == 0
    monkeypatch.chdir(tmp_path)
    with pytest.warns(DataWarning):
        assert main(["evaluate", "r"]) == 0


def test_training_refuses_categories_that_its_rows_do_not_have_where_it_is_strict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{'abc'[i % 3] if i < 29 else 'd'},{i % 2},{('train', 'test')[i // 20]}" for i in range(30)]
    Path("t.csv").write_text("x,k,y,part\n" + "\n".join(rows) + "\n")
    Path("t.yaml").write_text("data: {path: t.csv, target: y, split: {column: part}}\ntrainer: {epochs: 1}\n")
    assert main(["train", "t.yaml", "--run-dir", "r", "-q", "--strict"]) == 3
    assert capsys.readouterr().err == "fastbp: t.csv:31: column `k` must have a value that training saw, got `d`\n"
    assert not Path("r").exists()
    with pytest.warns(DataWarning, match="values that training did not see in 1 of 10 rows"):
        assert main(["train", "t.yaml", "--run-dir", "r", "-q"]) == 0


def test_encodings_of_text_are_taken_in_folders_and_what_is_kept_is_utf_8(here, tmp_path):
    text = Path("t.csv").read_text()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "t.csv").write_bytes(text.encode("utf-16-le"))
    words = ["--keep", "-o"]
    assert main(["predict", "run", "t.csv", *words, str(tmp_path / "a.csv")]) == 0
    assert (
        main(["predict", "run", str(tmp_path / "in"), "--encoding", "utf-16-le", *words, str(tmp_path / "b.csv")]) == 0
    )
    assert "€" in (tmp_path / "b.csv").read_text("utf-8")
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


@pytest.mark.filterwarnings("ignore:.* alone tells the target")
def test_encodings_are_as_in_training_or_as_is_said(here, capsys):
    text = Path("t.csv").read_text().replace("Genf", "Genève")
    Path("l.csv").write_bytes(text.encode("cp1252"))
    assert main(["predict", "run", "l.csv"]) == 3
    assert "got a byte `0x80`\nhint: set `--encoding`" in capsys.readouterr().err
    assert main(["predict", "run", "l.csv", "--encoding", "cp1252"]) == 3
    assert "in 33.3%, such as `Genève`" in capsys.readouterr().err
    assert main(["init", "l.csv", "--encoding", "cp1252", "-o", "-"]) == 0
    made = capsys.readouterr().out
    assert "  encoding: cp1252\n" in made
    Path("l.yaml").write_text(made)
    with pytest.warns(DataWarning):
        assert main(["train", "l.yaml", "--run-dir", "l", "-q", "--set", "trainer.epochs=1"]) == 0
    assert main(["predict", "l", "l.csv"]) == 0


@pytest.mark.filterwarnings("ignore:.* alone tells the target")
def test_init_says_how_numbers_are_written(here, capsys):
    made = output(capsys, "init", "t.csv", "-o", "-")
    price = next(line for line in made.splitlines() if "price:" in line)
    assert re.search(r"price: number +# 1.1 to 2.9\d, 11 missing; read `1,\d\d €` as 1.\d+, and `-` as missing$", price)
    assert re.search(r"flag: number +# False and True$", made, re.MULTILINE)
    assert "delimiter" not in made


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_predictions_are_written_with_types(here, capsys, kind):
    pl = pytest.importorskip("polars")
    assert main(["predict", "run", "t.csv", "--keep", "-o", f"out.{kind}"]) == 0
    found = pl.read_parquet("out.parquet") if kind == "parquet" else pl.read_ipc("out.arrow")
    assert found.columns == [*HEAD.split(";"), "predicted y"]
    assert found["id"].to_list() == [9007199254740993 + i for i in range(120)]
    assert found["zip"].to_list()[0] == "02301"
    expected = output(capsys, "predict", "run", "t.csv").splitlines()[1:]
    assert found["predicted y"].to_list() == expected


def test_parquet_is_refused_before_work_where_nothing_writes_it(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    assert main(["predict", "run", "none.csv", "-o", "out.parquet"]) == 1
    assert capsys.readouterr().err == (
        "fastbp: out.parquet: Parquet and Arrow files need Polars, which is not installed\n"
        'hint: pip install "fastbp[tables]"\n'
    )


@pytest.mark.filterwarnings("ignore:.*is read as numbers:fastbp.errors.DataWarning")
def test_rows_without_a_target_are_dropped_in_evaluations_as_in_training(here, capsys, tmp_path):
    lines = Path("t.csv").read_text().splitlines()
    holes = [re.sub(r"(yes|no)$", "", line) if i % 10 == 4 else line for i, line in enumerate(lines)]
    Path("h.csv").write_text("\n".join(holes) + "\n")
    arguments = ["--set", "data.path=h.csv", "--set", "data.missing_target=drop"]
    run = str(tmp_path / "r")
    with pytest.warns(DataWarning, match="12 of 120 rows have no target `y` and were dropped"):
        assert main(["train", "t.yaml", *arguments, "--run-dir", run, "-q"]) == 0
    capsys.readouterr()
    for model in (run, f"{run}/best.safetensors"):
        assert len(output(capsys, "predict", model, "h.csv").splitlines()) == 121
        with pytest.warns(DataWarning, match="h.csv: 12 of 120 rows"):
            output(capsys, "evaluate", model, "h.csv", "--json")
