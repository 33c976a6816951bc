"""Rows that are drawn as a table is read once, and what `fastbp init` writes by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.schema import Data
from fastbp.data import blocks, fitting, sampled
from fastbp.data.files import read_paths
from fastbp.data.streamed import Told, sources_of
from fastbp.errors import DataError
from fastbp.runs import starter

ROWS, FEW = 30_000, 20_000  # which is the least that is looked at
WORDS = np.array(["cook", "smith", "", '"baker, head"'])


def table(folder: Path, rows: int = ROWS, name: str = "t.csv", seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    columns = [
        draw.normal(size=rows).round(3).astype(str),
        WORDS[draw.integers(0, 4, rows)],
        [f"n{v}" for v in draw.integers(0, 10**9, rows)],
        np.array(["True", "False"])[draw.integers(0, 2, rows)],
        [f"2024-{1 + v % 12:02d}-{1 + v % 28:02d}" for v in draw.integers(0, 400, rows)],
        np.where(draw.random(rows) < 0.2, "", draw.integers(0, 50, rows).astype(str)),
    ]
    path = folder / name
    lines = ["x,job,note,open,day,y", *map(",".join, zip(*columns, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def few(monkeypatch):
    """As few rows as may be are looked at, of blocks of 16 KiB."""
    monkeypatch.setattr(fitting, "LOOKED", 1)
    monkeypatch.setattr(blocks, "CHUNK", 1 << 14)


def drawn(path: Any) -> tuple[Any, int]:
    data = Data(path=path, max_memory="1GB")
    sources = sources_of(data)
    assert sources is not None
    return sampled.sampled(data, sources, 0, Told())


def test_rows_are_those_that_their_numbers_draw_and_few_more_are_held(tmp_path, few, monkeypatch):
    held, limits, texts, own = [], [], [], sampled._below

    def below(block, numbers, bits, limit, shared):
        some = own(block, numbers, bits, limit, shared)
        held.append(len(some.numbers))
        limits.append(limit)
        texts.append({name: len(known) for name, known in shared.items()})
        return some

    monkeypatch.setattr(sampled, "_below", below)
    monkeypatch.setattr(sampled, "SHARED", 100)
    path = table(tmp_path, 2 * ROWS)
    frame, rows = drawn(str(path))
    whole = read_paths(str(path), Data(path=str(path)))
    looked = fitting.looked_at(2 * ROWS, 12, 0)
    assert rows == 2 * ROWS
    assert abs(len(frame) - FEW) < 500
    assert frame.rows.tolist() == looked.tolist()
    assert list(frame.columns) == list(whole.columns)
    for name, column in frame.columns.items():
        assert (column.is_text, column.boolean) == (whole.columns[name].is_text, whole.columns[name].boolean)
        np.testing.assert_array_equal(column.values, whole.columns[name].values[looked])
    assert sum(held) < 2 * ROWS - 10_000  # as the limit fell on the way
    assert limits[0] == 1 << 64
    assert len(set(limits)) == 5
    assert max(one["note"] for one in texts) < 1500  # of a block, beyond which none are held apart
    assert frame.place(0) == f"{path}: row {looked[0]}: "


def test_rows_of_several_files_are_one_table(tmp_path, few):
    first, second = table(tmp_path, 20_000), table(tmp_path, 10_000, "u.csv", 1)
    frame, rows = drawn([str(first), str(second)])
    looked = fitting.looked_at(ROWS, 12, 0)
    assert rows == ROWS
    whole = read_paths([str(first), str(second)], Data())
    for name, column in frame.columns.items():
        np.testing.assert_array_equal(column.values, whole.columns[name].values[looked])
    at = int(np.searchsorted(looked, 20_000))
    assert frame.place(at) == f"{second}: row {looked[at] - 20_000}: "
    assert frame.place(at - 1) == f"{first}: row {looked[at - 1]}: "


def test_rows_of_a_file_with_types_are_those_that_their_numbers_draw_too(tmp_path, few):
    pl = pytest.importorskip("polars")
    draw = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + draw.integers(0, 400, ROWS)
    values = {"x": draw.normal(size=ROWS), "job": WORDS[draw.integers(0, 4, ROWS)], "day": days}
    pl.DataFrame(values).write_parquet(tmp_path / "t.parquet", row_group_size=4000)
    frame, rows = drawn(str(tmp_path / "t.parquet"))
    whole, looked = read_paths(str(tmp_path / "t.parquet"), Data()), fitting.looked_at(ROWS, 6, 0)
    assert rows == ROWS
    for name, column in frame.columns.items():
        np.testing.assert_array_equal(column.values, whole.columns[name].values[looked])
    assert frame.place(5) == f"{tmp_path / 't.parquet'}: row {looked[5]}: "


def test_a_table_of_no_more_rows_is_there_in_full_with_what_is_wrong_in_it(tmp_path, few):
    path = table(tmp_path, 3000)
    path.write_text(path.read_text() + "wrong,cook,n1,True,2024-01-01,1\n")
    frame, rows = drawn(str(path))
    assert rows == len(frame) == 3001
    assert frame.columns["x"].values[-1] == "wrong"
    (tmp_path / "e.csv").write_text("x,y\n")
    with pytest.raises(DataError, match=r"e\.csv: must have rows"):
        drawn(str(tmp_path / "e.csv"))


@pytest.fixture
def streams(monkeypatch):
    """Every table is one that does not fit."""
    monkeypatch.setattr(starter, "streams", sources_of)


def written(*words: str, code: int = 0) -> str:
    Path("c.yaml").unlink(missing_ok=True)
    assert main(["init", "t.csv", "-o", "c.yaml", *words]) == code
    return Path("c.yaml").read_text() if not code else ""


def test_a_table_that_streams_has_the_configuration_that_it_has_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path, 3000)
    whole = written()
    assert written("--max-memory", "600MB") == whole  # into which it fits
    monkeypatch.setattr(starter, "streams", sources_of)
    assert written() == whole
    limited = written("--max-memory", "600MB")
    assert limited.replace("  max_memory: 600MB\n", "") == whole != limited


@pytest.mark.filterwarnings("ignore:t.csv. .* rows have no target")
def test_a_configuration_by_some_rows_says_so_and_is_for_all(tmp_path, monkeypatch, few, capsys):
    monkeypatch.chdir(tmp_path)
    table(tmp_path)
    whole = written()
    monkeypatch.setattr(starter, "streams", sources_of)
    capsys.readouterr()
    found = written("--max-memory", "600MB")
    looked = len(fitting.looked_at(ROWS, 12, 0))
    said = f"what columns are, by {looked:,} of 30,000 rows"
    assert f"not certain: {said}\n" in capsys.readouterr().err
    assert f"\n# - {said}\n" in found
    assert found.startswith("# 30,000 rows of t.csv.\n")
    pattern = "  hidden: "

    def rows_that_train(text: str) -> int:
        (line,) = [line for line in text.splitlines() if line.startswith(pattern)]
        return int(line.partition("# for ")[2].split()[0].replace(",", ""))

    there = np.isfinite(read_paths("t.csv", Data()).numbers("y")).sum()
    assert rows_that_train(whole) == round(0.7 * there)
    assert rows_that_train(found) == pytest.approx(0.7 * there, rel=0.01)
    assert main(["check", "c.yaml", "-q", "--set", "data.stream=false"]) == 0


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "plain"], "`--preset` must be left out where rows do not fit into memory, got `plain`"),
        (["--time-limit", "10m"], "`--time-limit` must be left out where rows do not fit into memory, got `10m`"),
        (["--max-memory", "10MB"], "`--max-memory` must be at least 512 MiB for 6 columns, got `10MB`"),
    ],
)
def test_what_needs_all_rows_or_more_memory_is_refused(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    table(tmp_path, 100)
    written(*words, code=2)
    assert said in capsys.readouterr().err


def test_a_limit_that_is_no_size_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table(tmp_path, 100)
    written("--max-memory", "much", code=2)
    assert "`--max-memory` must be such as `1GB` or `512MiB`, got `much`" in capsys.readouterr().err
