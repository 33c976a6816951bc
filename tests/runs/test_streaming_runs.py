"""Runs on tables that stream: killed in each pass and in training they end with the same bits, within their memory."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.merging import merge, overrides
from fastbp.config.text import read
from fastbp.data import streamed
from fastbp.data.streamed import Told
from fastbp.runs.checkpoint import Checkpoint
from fastbp.runs.scores import score
from fastbp.runs.stopping import Stopped
from fastbp.runs.subject import subject_of

ROOT = Path(__file__).parents[2]
CONFIG = """
name: big
data:
  path: {path}
  target: y
  stream: true
  block_rows: 64
  window_blocks: 5
network: {{hidden: [16], dropout: 0.1}}
trainer: {{epochs: 4, batch_size: 24, accumulate: 2, optimizer: {{name: adam, lr: 0.01}}}}
run: {{folder: {runs}, checkpoint_seconds: 0}}
"""
DRIVER = """
import os, signal, sys
import fastbp.data.blocks as blocks, fastbp.data.gathered as gathered, fastbp.data.rowstore as rowstore
import fastbp.runs.training as training
from fastbp.train.calls import Pace
Pace.steps = lambda pace: 7
training.Training.set_due = lambda run, seconds: setattr(run, "due", 0.0)
gathered.SAVED, blocks.ROWS = 2, 300
blocks.CHUNK, rowstore.STEP, rowstore.SAVED = 20_000, 128, 2
left = [int(sys.argv[2])]
def kill_in(place, name):
    real = getattr(place, name)
    def call(*words, **more):
        found = real(*words, **more)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(place, name, call)
if sys.argv[1] == "reading":
    kill_in(gathered, "_raw")
elif sys.argv[1] == "preparing":
    kill_in(rowstore, "_mark")
elif sys.argv[1] == "hashing":
    kill_in(rowstore, "_hash")
elif sys.argv[1] == "training":
    kill_in(training.Training, "save")
from fastbp.cli.main import main
sys.argv[1:] = sys.argv[3:]
sys.exit(main())
"""


def write(path, rows=3000):
    draw = np.random.default_rng(7)
    a, b, c = draw.normal(size=rows), draw.normal(size=rows), draw.integers(0, 12, rows)
    y = a * b + 0.1 * c
    lines = ["a,b,c,y", *(f"{p:.6f},{q:.6f},k{k},{t:.6f}" for p, q, k, t in zip(a, b, c, y, strict=True))]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def start(tmp_path):
    """A table and its configuration, and what runs a command that is killed at the n-th call of something."""
    write(tmp_path / "t.csv")
    (tmp_path / "c.yaml").write_text(CONFIG.format(path=tmp_path / "t.csv", runs=tmp_path / "runs"))

    def run(where, number, *words):
        command = [sys.executable, "-c", DRIVER, where, str(number), *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stderr

    return run


def ends(folder):
    """What a run leaves that does not depend on the time."""
    result = json.loads((folder / "result.json").read_text())
    kept = {key: result[key] for key in ("metrics", "baseline", "best_epoch", "epochs", "steps")}
    history = (folder / "history.csv").read_text()
    return kept, history, (folder / "last.safetensors").read_bytes(), (folder / "best.safetensors").read_bytes()


def rows_in(folder):
    found = next(folder.glob("*/rows.json")).parent
    return {path.name: path.read_bytes() for path in sorted(found.iterdir()) if path.suffix in (".x", ".y", ".numbers")}


def test_a_streamed_configuration_is_printed_and_its_rows_are_those_of_the_run(tmp_path, capsys, monkeypatch):
    write(tmp_path / "t.csv", rows=300)
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.format(path=tmp_path / "t.csv", runs=tmp_path / "runs"))
    assert main(["train", str(config), "--print-config"]) == 0
    printed, said = capsys.readouterr()
    assert "is streamed; its rows are in" in said
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    monkeypatch.setattr(streamed, "gather", None)  # nothing is read again
    assert main(["train", str(again), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def test_a_run_killed_in_each_pass_and_in_training_ends_with_the_same_bits(start, tmp_path):
    plain = tmp_path / "plain"
    assert start("", 0, "train", str(tmp_path / "c.yaml"), "--run-dir", str(plain), "-q")[0] == 0
    wanted, rows = ends(plain), rows_in(tmp_path / "runs" / "rows")
    killed, other = tmp_path / "killed", f"data.store={tmp_path / 'other'}"
    first = ["train", str(tmp_path / "c.yaml"), "--run-dir", str(killed), "--set", other, "-q"]
    assert start("reading", 11, *first)[0] == -signal.SIGKILL
    assert json.loads(next((tmp_path / "other").glob("*/reading.json")).read_text())["rows"] > 500
    assert (killed / "begun.yaml").is_file()
    assert not (killed / "config.yaml").exists()
    going_on = ["train", "--resume", str(killed), "-q"]
    for where, number in (
        ("reading", 6),
        ("preparing", 3),
        ("preparing", 4),
        ("hashing", 1),
        ("training", 2),
        ("training", 9),
    ):
        assert start(where, number, *going_on)[0] == -signal.SIGKILL, where
    place = Checkpoint.load(killed / "checkpoint.safetensors").numbers["place"]
    assert place["epoch"]
    assert place["cursor"]
    assert not (killed / "begun.yaml").exists()
    code, said = start("", 0, *going_on)
    assert code == 0, said
    assert ends(killed) == wanted
    assert rows_in(tmp_path / "other") == rows


def test_a_pass_goes_on_behind_what_is_certain_to_be_there(start, tmp_path):
    first = ["train", str(tmp_path / "c.yaml"), "--run-dir", str(tmp_path / "run"), "-q"]
    assert start("preparing", 3, *first)[0] == -signal.SIGKILL
    folder = next((tmp_path / "runs" / "rows").iterdir())
    assert json.loads((folder / "done.json").read_text())["at"] == 3 * 2 * 128
    with open(folder / "train.x", "ab") as file:  # what was written behind the mark
        file.write(b"torn")
    assert start("", 0, "train", "--resume", str(tmp_path / "run"), "-q")[0] == 0
    assert not (folder / "done.json").exists()
    assert not list(folder.glob("*.column"))
    assert "torn" not in (folder / "train.x").read_bytes().decode("latin-1")


def test_a_run_that_goes_on_or_is_evaluated_reads_no_table(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv")
    (tmp_path / "c.yaml").write_text(CONFIG.format(path="t.csv", runs="runs"))
    monkeypatch.setattr(streamed, "prepare_rows", stop)
    assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) != 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streamed, "gather", stop)  # what was read stays
    assert main(["train", "--resume", "run", "-q"]) == 0
    monkeypatch.setattr(streamed, "_made", stop)
    assert main(["train", "--resume", "run", "-q", "--set", "trainer.epochs=5"]) == 0
    assert main(["evaluate", "run"]) == 0
    assert main(["train", "c.yaml", "-q"]) == 0
    assert len(list((tmp_path / "runs" / "rows").iterdir())) == 1
    (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    assert main(["train", "--resume", "run", "-q"]) != 0
    assert f"{tmp_path / 't.csv'}: must be a file, but does not exist" in capfd.readouterr().err


def stop(*words):
    raise Stopped("stopped", 130)


def test_rows_that_may_only_be_read_are_enough(start, tmp_path):
    assert start("", 0, "check", str(tmp_path / "c.yaml"))[0] == 0
    (rows,) = (tmp_path / "runs" / "rows").iterdir()
    (rows / ".lock").unlink()
    code, said = start("", 0, "train", str(tmp_path / "c.yaml"), "-q")
    assert code == 0, said
    assert not (rows / ".lock").exists()  # nothing is written there
    (rows / "rows.json").write_text('{"torn')
    code, said = start("", 0, "train", str(tmp_path / "c.yaml"), "-q")
    assert code == 0, said
    assert json.loads((rows / "rows.json").read_text())["arrays"]


def test_rows_of_other_files_are_refused_on_resuming(start, tmp_path):
    run = tmp_path / "run"
    assert start("training", 2, "train", str(tmp_path / "c.yaml"), "--run-dir", str(run), "-q")[0] == -signal.SIGKILL
    write(tmp_path / "t.csv", 2999)
    code, said = start("", 0, "train", "--resume", str(run), "-q")
    assert code != 0
    assert "must be resumed with the same rows, but its files have others" in said


MEMORY = """
import sys
from fastbp.cli.main import main
try:
    main()
finally:
    print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_table_of_several_times_the_limit_keeps_to_it(tmp_path):
    polars = pytest.importorskip("polars")
    rows, path = 150_000, tmp_path / "t.parquet"
    draw = np.random.default_rng(0)
    columns = {f"x{i}": draw.normal(size=rows).astype(np.float32) for i in range(90)}
    polars.DataFrame({**columns, "y": columns["x0"] * columns["x1"]}).write_parquet(path, row_group_size=20_000)
    del columns
    (tmp_path / "c.yaml").write_text(CONFIG.format(path=path, runs=tmp_path / "runs").replace("  stream: true\n", ""))
    words = [
        *("train", str(tmp_path / "c.yaml"), "--max-memory", "512MiB"),
        *("--set", "trainer.epochs=1", "--set", "trainer.batch_size=512", "--set", "data.block_rows=1024"),
    ]
    done = subprocess.run([sys.executable, "-c", MEMORY, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "in memory, is streamed; its rows are in" in done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < 512 << 20


@pytest.fixture
def trained(start, tmp_path):
    run = tmp_path / "run"
    assert start("", 0, "train", str(tmp_path / "c.yaml"), "--run-dir", str(run), "-q")[0] == 0
    return run


def test_a_streamed_run_is_evaluated_and_explained_on_its_own_rows(start, trained):
    for command in ("evaluate", "explain"):
        code, said = start("", 0, command, str(trained))
        assert code == 0, said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "C", "--set", "pack.members=2"], "`pack` must be left out where rows do not fit into memory"),
        (
            ["train", "C", "--set", "trainer.optimizer=lbfgs", "--set", "trainer.accumulate=1"],
            "must have steps where rows",
        ),
        (["gradcheck", "C"], "t.csv: must fit into memory for this command, as only `check`, `train`, `evaluate`,"),
    ],
)
def test_what_needs_all_rows_is_refused_before_any_is_read(start, tmp_path, words, said):
    found = start("", 0, *(str(tmp_path / "c.yaml") if word == "C" else word for word in words))
    assert found[0] != 0
    assert said in found[1]
    assert not (tmp_path / "runs" / "rows").exists()


def test_the_scores_are_those_of_the_same_network_on_rows_in_memory(trained):
    plan = plan_of(read(trained / "config.yaml"))
    plan.config.data.stream = False
    subject = subject_of(plan)
    assert subject.stored is None
    net = fb.load(trained / "best.safetensors")
    found = {n: score(net, p, subject.loss, subject.metrics, subject.recipe) for n, p in subject.parts.items()}
    assert found == json.loads((trained / "result.json").read_text())["metrics"]


def test_what_is_checked_is_trained_on(start, tmp_path, capfd):
    assert main(["check", str(tmp_path / "c.yaml"), "--plan"]) == 0
    out, err = capfd.readouterr()
    assert "train 2,100 rows, validation 450 rows, test 450 rows" in out
    assert "train, batch 24" in out
    folder = next((tmp_path / "runs" / "rows").iterdir())
    assert f"its rows are in {folder}" in err
    made = (folder / "rows.json").stat().st_mtime_ns
    assert start("reading", 1, "train", str(tmp_path / "c.yaml"), "-q")[0] == 0  # which reads nothing
    assert (folder / "rows.json").stat().st_mtime_ns == made


def test_weights_by_class_are_those_of_rows_in_memory(start, tmp_path):
    text = (tmp_path / "t.csv").read_text().splitlines()
    rows = [row + (",yes" if float(row.rsplit(",", 1)[1]) > 0.8 else ",no") for row in text[1:]]
    (tmp_path / "t.csv").write_text("\n".join([text[0] + ",kind", *rows]) + "\n")
    plan = plan_of(merge(read(tmp_path / "c.yaml"), overrides(["data.target=kind"])))
    for given in ("balanced", {"yes": 3.0}):
        plan.config.trainer.class_weight = given
        plan.config.data.columns = {"y": "ignore"}
        plan.config.data.stream = True
        streams = subject_of(plan, told=Told()).training_weight
        plan.config.data.stream = False
        np.testing.assert_array_equal(streams.some(np.arange(len(streams))), subject_of(plan).training_weight)


def test_check_brings_a_table_into_rows_that_train_then_reads(start, tmp_path):
    code, said = start("", 0, "check", str(tmp_path / "c.yaml"))
    assert code == 0, said
    (rows,) = (tmp_path / "runs" / "rows").iterdir()
    before = {file.name: file.stat().st_mtime_ns for file in rows.iterdir()}
    code, said = start("", 0, "train", str(tmp_path / "c.yaml"))
    assert code == 0, said
    assert {file.name: file.stat().st_mtime_ns for file in rows.iterdir()} == before
