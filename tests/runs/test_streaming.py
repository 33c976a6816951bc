"""Predictions that are written block by block are those of the table in memory, byte for byte."""

import weakref

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.data import blocks, streamed
from fastbp.errors import DataWarning

CONFIG = """
name: small
data: {{path: {path}, target: kind, unseen: 1.0}}
network: {{hidden: [8]}}
trainer: {{epochs: 2}}
run: {{folder: {runs}}}
"""


def write(path, rows=2000, more=(), end="\n", mark=""):
    draw = np.random.default_rng(5)
    jobs = [*("cook", '"baker, head"', "smith"), *more]
    lines = ["a,job,day,kind"]
    for _ in range(rows):
        job, day = jobs[draw.integers(0, len(jobs))], f"2024-0{draw.integers(1, 9)}-1{draw.integers(0, 9)}"
        lines.append(f"{draw.normal():.5f},{job},{day},{('no', 'yes')[draw.integers(0, 2)]}")
    path.write_text(mark + end.join(lines) + end, newline="")
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    path = write(folder / "train.csv")
    (folder / "c.yaml").write_text(CONFIG.format(path=path, runs=folder))
    assert main(["train", str(folder / "c.yaml"), "--run-dir", str(folder / "run"), "-q"]) == 0
    return str(folder / "run")


@pytest.fixture(autouse=True)
def any_limit(monkeypatch):
    """Small tables are streamed, too."""
    monkeypatch.setattr(streamed, "LEAST", 1)


@pytest.fixture
def both(run, tmp_path, monkeypatch):
    """What `predict` writes from memory, and block by block."""
    monkeypatch.setattr(blocks, "CHUNK", 9000)
    monkeypatch.setattr(blocks, "ROWS", 300)

    def predict(ending, files, *words):
        found = []
        for name, limit in (("memory", ()), ("blocks", ("--max-memory", "100kB"))):
            output = tmp_path / f"{name}{ending}"
            assert main(["predict", run, *files, "-o", str(output), *words, *limit]) == 0
            found.append(output)
        return found

    return predict


@pytest.mark.parametrize("words", [(), ("--probabilities",), ("--keep",), ("--keep", "--quote-formulas")], ids=" ".join)
@pytest.mark.parametrize("form", [("\n", ""), ("\r\n", "\ufeff")], ids=["plain", "windows"])
def test_csv(both, tmp_path, words, form):
    path = write(tmp_path / "new.csv", 1500, end=form[0], mark=form[1])
    memory, blocked = both(".csv", [path], *words)
    assert memory.read_bytes() == blocked.read_bytes()
    assert len(blocked.read_text().splitlines()) == 1501


def test_the_first_rows_of_one_file_are_held_at_a_time(run, tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{name}.csv", 300) for name in "cabd"]
    held, real = [], blocks.look

    def look(*words):
        found = real(*words)
        held.append(weakref.ref(found))
        assert sum(one() is not None for one in held) <= 2
        return found

    monkeypatch.setattr("fastbp.runs.streaming.look", look)
    assert main(["predict", run, *paths, "-o", str(tmp_path / "o.csv"), "--max-memory", "100kB"]) == 0
    assert len(held) == 4


def test_several_files(both, tmp_path):
    paths = [write(tmp_path / f"{name}.csv", 700 + 50 * i) for i, name in enumerate("cab")]
    memory, blocked = both(".csv", paths, "--keep")
    assert memory.read_bytes() == blocked.read_bytes()


def test_other_forms(both, tmp_path):
    path = write(tmp_path / "new.csv", 1500)
    for ending in (".jsonl", ".npz"):
        memory, blocked = both(ending, [path], "--probabilities")
        assert memory.read_bytes() == blocked.read_bytes()


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_files_with_types(both, tmp_path, ending):
    polars = pytest.importorskip("polars")
    path = write(tmp_path / "new.csv", 1500)
    source = tmp_path / f"new{ending}"
    frame = polars.read_csv(path)
    frame.write_parquet(source) if ending == ".parquet" else frame.write_ipc(source)
    memory, blocked = both(ending, [str(source)], "--probabilities")
    read = polars.read_parquet if ending == ".parquet" else polars.read_ipc
    assert read(memory).equals(read(blocked))
    assert len(read(blocked)) == 1500


def test_what_is_unseen_is_said_once(both, tmp_path):
    path = write(tmp_path / "new.csv", 1500, more=["poet"])
    with pytest.warns(DataWarning) as said:
        both(".csv", [path])
    assert len({str(one.message) for one in said}) == 1
    assert len(said) == 2
    assert "in 395 of 1,500 rows (26.3%), such as `poet`" in str(said[1].message)


def test_what_cannot_be_is_refused_and_leaves_no_file(run, tmp_path, capsys):
    path, output = write(tmp_path / "new.csv", 1500), str(tmp_path / "out.jsonl")
    limit = ["--max-memory", "100kB"]
    assert main(["predict", run, path, "-o", output, "--keep", *limit]) == 3
    assert capsys.readouterr().err == ("fastbp: `--keep` must be given with CSV where rows do not fit into memory\n")
    assert main(["predict", run, path, "-o", output, "--max-memory", "much"]) == 2
    assert "`--max-memory` must be such as `1GB` or `512MiB`, got `much`" in capsys.readouterr().err
    write(tmp_path / "new.csv", 1500, more=["poet"])
    assert main(["predict", run, path, "-o", output, "--strict", *limit]) == 3
    assert not (tmp_path / "out.jsonl").exists()


def test_less_than_streaming_takes_is_refused(run, tmp_path, monkeypatch, capsys):
    path, output = write(tmp_path / "new.csv", 1500), str(tmp_path / "out.jsonl")
    monkeypatch.setattr(streamed, "LEAST", 1 << 29)
    assert main(["predict", run, path, "-o", output, "--max-memory", "100kB"]) == 2
    said = "`--max-memory` must be at least 512 MiB where rows do not fit, got `100kB`"
    assert capsys.readouterr().err == f"fastbp: {said}\n"
    assert not (tmp_path / "out.jsonl").exists()
