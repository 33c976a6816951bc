"""Files that were cut or changed, byte by byte: refused in a sentence, or what they are without a checksum.

Networks are in tests/model/test_files.py, checkpoints in test_checkpoints.py.
"""

import gzip
import importlib.util
import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.config.schema import Data
from fastbp.data import polars_files
from fastbp.data.files import read_paths
from fastbp.engine import cache
from fastbp.errors import DataError
from fastbp.runs.checkpoint import Checkpoint
from tests.faults.mutants import command, must, must_be_a_sentence
from tests.faults.server import WHOLE

SAMPLE = 1 if WHOLE else 7  # of the places where files are cut or changed


def cuts(content):
    return [content[:at] for at in range(0, len(content), SAMPLE)]


def flips(content, head=0, step=64):
    """A bit of every byte of the head, and of every 64th behind it."""
    places = [*range(0, head, SAMPLE), *range(head, len(content), step)]
    return [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in places]


# Machine code


@pytest.fixture
def told(monkeypatch):
    """What is said of the cache, each once a process."""
    found = []
    monkeypatch.setattr(cache, "_damaged", lambda place, problem: found.append((place, problem)))
    return found


def test_an_object_that_changed_is_never_loaded(told):
    content = bytes(range(256)) * 20
    stored = cache.sealed("name", content)
    assert cache.opened("name", stored, "here") == content
    damaged = cuts(stored) + flips(stored, len(stored) - len(content))
    assert [x for x in damaged if cache.opened("name", x, "here") is not None] == []
    assert told == [("here", "its checksum is wrong")] * len(damaged)


def test_a_file_of_objects_that_changed_gives_none_or_the_right_ones(told, tmp_path):
    path = tmp_path / "v.objects"
    objects = {"a": bytes(range(256)) * 4, "b": b"\x7fELF" * 99, "c": b""}
    cache.pack(path, objects, {"by": "somebody"})
    content = path.read_bytes()
    index = 8 + int.from_bytes(content[:8], "little")
    assert {name: cache.unpack(path).read(name) for name in objects} == objects
    whole = 0
    for damaged in cuts(content) + flips(content, index, 4):
        path.write_bytes(damaged)
        shipped = cache.unpack(path)
        found = {} if shipped is None else {name: shipped.read(name) for name in objects}
        assert all(found[name] in (None, objects[name]) for name in found)
        whole += found == objects
    assert whole == 0
    assert told


# Tables


def rows(count=60):
    return [["a", "b", "c", "y"], *([f"{i / 8}", f"{i * i % 11}", "uvw"[i % 3], "pq"[i % 2]] for i in range(count))]


def csv_of(count=60):
    return "".join(",".join(row) + "\n" for row in rows(count)).encode()


def saved(save, *arguments, **words):
    out = io.BytesIO()
    save(out, *arguments, **words)
    return out.getvalue()


X = np.arange(180.0).reshape(60, 3) / 7
IDX = b"\0\0\x0e\x02" + (60).to_bytes(4, "big") + (3).to_bytes(4, "big") + X.astype(">f8").tobytes()
TABLES = {
    "t.npy": (saved(np.save, X), 128),
    "t.npz": (saved(np.savez, X=X, y=np.arange(60) % 3), 0),
    "zipped.npz": (saved(np.savez_compressed, X=X, y=np.arange(60) % 3), 0),
    "t.idx": (IDX, 12),
    "t.idx.gz": (gzip.compress(IDX), 10),
    "t.csv.gz": (gzip.compress(csv_of()), 10),
}
SEALED = ("t.npz", "zipped.npz", "t.idx.gz", "t.csv.gz")  # with checksums of their formats


def read(path):
    """Everything in a table, to be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read_paths(str(path), Data())
    matrix = None if frame.matrix is None else (frame.matrix.shape, np.asarray(frame.matrix, float).tobytes())
    return matrix, {name: [str(v) for v in column.values.tolist()] for name, column in frame.columns.items()}


def refused(path):
    """Whether it is, in a sentence that names the file; or what was read."""
    try:
        return read(path)
    except DataError as error:
        must_be_a_sentence(f"fastbp: {error}\n")
        must(str(error).startswith(str(path)), f"no file in {error}")
        return None


@pytest.mark.parametrize("name", TABLES)
def test_an_array_file_that_was_cut_is_refused_and_one_that_changed_never_gives_other_rows(name, tmp_path):
    content, head = TABLES[name]
    path = tmp_path / name
    path.write_bytes(content)
    right = read(path)
    for damaged in cuts(content):
        path.write_bytes(damaged)
        assert refused(path) is None, len(damaged)
    for damaged in flips(content, head, 4 if name in SEALED else 64):
        path.write_bytes(damaged)
        found = refused(path)
        if name in SEALED:
            assert found in (None, right)
        elif found is not None:  # nothing in these formats tells one number from another
            assert found[0][0] == right[0][0] or found[0][0] in [(180, 1), (60, 3), (3, 60)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_file_that_was_cut_has_the_rows_that_are_whole(end, tmp_path):
    content = csv_of().replace(b"\n", end.encode())
    path = tmp_path / "t.csv"
    names, *cells = rows()
    for damaged in cuts(content):
        path.write_bytes(damaged)
        found = refused(path)
        whole = damaged.count(b"\n") - 1
        if found is None:
            continue
        head = [name for name in found[1] if name in names]
        assert head == names
        count = len(found[1]["y"])
        begun = damaged.rpartition(b"\n")[2].strip()  # a line without an end may be a whole one
        assert count == whole + (begun.count(b",") == 3)
        kept = [[*row] for row in zip(*found[1].values(), strict=True)][:whole]
        assert [[float(v) for v in row[:2]] + [*row[2:]] for row in kept] == [
            [float(row[0]), float(row[1]), *row[2:]] for row in cells[:whole]
        ]


@pytest.mark.skipif(not importlib.util.find_spec("polars"), reason="Polars reads these")
@pytest.mark.parametrize(("ending", "words"), [("parquet", {}), ("arrow", {}), ("arrow", {"compression": "zstd"})])
def test_a_table_of_polars_that_was_cut_or_changed_is_read_or_refused(ending, words, tmp_path, monkeypatch):
    import polars as pl

    table = pl.DataFrame({"x": [i / 8 for i in range(60)], "c": [f"text {i % 9}" for i in range(60)]})
    content = saved(table.write_parquet if ending == "parquet" else table.write_ipc, **words)
    path = tmp_path / f"t.{ending}"
    ends = polars_files._ends_its_process
    for damaged in cuts(content):
        path.write_bytes(damaged)
        monkeypatch.setattr(polars_files, "_ends_its_process", lambda path: False)  # which none of these does
        assert refused(path) is None, len(damaged)
    monkeypatch.setattr(polars_files, "_ends_its_process", ends)
    for damaged in flips(content, 0, 64 if WHOLE else 512):
        path.write_bytes(damaged)
        found = refused(path)
        assert found is None or {len(values) for values in found[1].values()} == {60}


# A run's folder


CONFIG = "data: {source: moons, rows: 60}\nnetwork: {hidden: [4]}\ntrainer: {epochs: 3}\n"
TEXTS = ("config.yaml", "result.json", "metrics.jsonl", "history.csv", "environment.json")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    (folder / "c.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
        assert main(["train", "c.yaml", "--run-dir", "half", "-q", "--set", "trainer.epochs=2"]) == 0
    np.save(folder / "x.npy", np.eye(2))
    return folder


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_of_a_run_that_was_cut_or_changed_is_answered(name, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written / "run", "run")
    shutil.copy(written / "x.npy", "x.npy")
    path = Path("run", name)
    content = path.read_bytes()
    whole = {kind: command(kind, *words) for kind, words in COMMANDS.items()}
    assert {code for code, *_ in whole.values()} == {0}
    step = max(1, len(content) // (400 if WHOLE else 6))
    for damaged in [content[:at] for at in range(0, len(content), step)] + flips(content, 0, step):
        path.write_bytes(damaged)
        for kind, words in COMMANDS.items():
            code, out, _ = command(kind, *words)
            if code == 0 and name not in READ[kind]:
                assert out == whole[kind][1], (kind, damaged)


COMMANDS = {"show": ["run"], "evaluate": ["run", "--json"], "predict": ["run", "x.npy"]}
READ = {"show": ("result.json", "metrics.jsonl"), "evaluate": ("config.yaml",), "predict": ()}


@pytest.mark.parametrize("name", TEXTS[1:])
def test_a_run_goes_on_over_files_that_were_cut_or_changed_and_writes_them_anew(name, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("half", name)
    content = (written / "half" / name).read_bytes()
    right = results(written / "run")
    for damaged in [content[: len(content) // 2], *flips(content, 0, max(1, len(content) // (40 if WHOLE else 1)))]:
        shutil.copytree(written / "half", "half")
        path.write_bytes(damaged)
        assert command("train", "--resume", "half", "-q", "--set", "trainer.epochs=3", "--json")[0] == 0
        assert results(Path("half")) == right
        shutil.rmtree("half")


def results(folder):
    result = json.loads((folder / "result.json").read_text())
    texts = [(folder / name).read_bytes() for name in ("metrics.jsonl", "history.csv", "best.safetensors")]
    return texts, [result[name] for name in ("metrics", "best_epoch", "epochs", "steps")]


EDITS = {
    "weight_decay: 0.0": "weight_decay: 0.1",
    "clip_norm: null": "clip_norm: 1.0",
    "label_smoothing: 0.0": "label_smoothing: 0.2",
    "name: relu": "name: tanh",
    "penalty: null": "penalty: 1e-3 * abs(w)",
    "schedule: null": "schedule: cosine",
    "dropout: 0.0": "dropout: 0.5",
    "dtype: float32": "dtype: float64",
}


@pytest.mark.parametrize("said", EDITS)
def test_a_setting_that_was_changed_in_a_runs_folder_is_refused_by_name(said, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written / "half", "half")
    config = Path("half", "config.yaml")
    content = config.read_text()
    assert content.count(said) == 1
    config.write_text(content.replace(said, EDITS[said]))
    code, _, message = command("train", "--resume", "half", "-q", "--set", "trainer.epochs=3")
    assert code == 2
    assert message.startswith("fastbp: `half/config.yaml` must keep the run's initial settings, got ")
    assert said.partition(":")[0] in message


def test_a_checkpoint_that_says_nothing_of_settings_goes_on(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written / "half", "half")
    path = Path("half", "checkpoint.safetensors")
    found = Checkpoint.load(path)
    assert found.settings["trainer"].pop("optimizer")
    path.write_bytes(found.to_bytes())
    assert command("train", "--resume", "half", "-q", "--set", "trainer.epochs=3", "--json")[0] == 0
    found.settings.clear()
    path.write_bytes(found.to_bytes())
    assert command("train", "--resume", "half", "-q", "--set", "trainer.epochs=3", "--json")[0] == 0
    assert results(Path("half")) == results(written / "run")


def test_a_configuration_that_was_changed_goes_on_with_the_same_bits_or_not_at_all(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = (written / "half" / "config.yaml").read_bytes()
    networks = {(written / name / "last.safetensors").read_bytes() for name in ("run", "half")}
    went_on = 0
    for damaged in [content, *flips(content, 0, 1 if WHOLE else len(content) // 16)]:
        shutil.copytree(written / "half", "half")
        Path("half", "config.yaml").write_bytes(damaged)
        if command("train", "--resume", "half", "-q", "--json")[0] == 0:
            went_on += 1
            assert Path("half", "last.safetensors").read_bytes() in networks
        shutil.rmtree("half")
    assert went_on
