"""Sweeps whose processes are killed: each trial is accounted for once, and what comes out is what does without."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from fastbp.errors import FastbpError
from tests.studies.dies import MOMENTS, TRIALS, run

optuna = pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_QUIET": "1"}
DEADLINE = 150  # seconds


def trials(path):
    """What Optuna's own storage has of a study."""
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(Path(path) / "journal.log"))
    )
    return optuna.load_study(study_name="sweep", storage=storage)


def told(path):
    """How often each trial was told."""
    lines = [json.loads(line) for line in (Path(path) / "journal.log").read_text().splitlines()]
    ends = [one["trial_id"] for one in lines if one["op_code"] == 6 and one["state"] in (1, 2, 3)]
    return Counter(ends)


def said(path):
    """All that is to be the same however a study went."""
    return [
        (one.number, one.state.name, one.values, one.params, one.intermediate_values) for one in trials(path).trials
    ]


def check(path, keep="run", count=TRIALS):
    """What holds of every study that has ended."""
    study = trials(path)
    assert [one.number for one in study.trials] == list(range(count))
    assert all(one.state.is_finished() for one in study.trials)
    assert told(path) == dict.fromkeys(range(count), 1)
    for one in study.trials:
        result = json.loads((Path(path) / "trials" / f"{one.number:05d}.json").read_text())
        if one.state.name == "COMPLETE":
            assert result["epochs"] == max(one.intermediate_values)
            assert result["value"] == one.value == result["metrics"]["validation"]["loss"]
            if keep == "run":
                run = json.loads((Path(path) / "trials" / f"{one.number:05d}" / "result.json").read_text())
                assert run["metrics"] == result["metrics"]
    left = sorted(file.name for file in (Path(path) / "trials").iterdir())
    assert [name for name in left if name.endswith((".lock", ".tmp"))] == []
    folders = [name for name in left if "." not in name]
    assert folders == ([f"{i:05d}" for i in range(count)] if keep == "run" else [])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "study"
    run(path)
    check(path)
    return said(path)


def test_trials_are_pruned_and_completed(undisturbed):
    assert {"PRUNED", "COMPLETE"} <= {state for _, state, *_ in undisturbed}


def test_one_process_makes_the_same_again(undisturbed, tmp_path):
    run(tmp_path / "again", keep="result")
    check(tmp_path / "again", keep="result")
    assert said(tmp_path / "again") == undisturbed


AT = {"half a line": 60, "checkpoint": 25, "report": 30, "first setting": 13, "last checkpoint": 1, "cleared": 6}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_changes_nothing(moment, undisturbed, tmp_path):
    path, keep = tmp_path / "study", "result" if moment == "cleared" else "run"
    dead(path, moment, AT.get(moment, 12), keep=keep)
    run(path, keep)
    check(path, keep)
    assert said(path) == undisturbed


def dead(path, moment, count, **words):
    """A study whose only process was killed."""
    script = str(Path(__file__).with_name("dies.py"))
    command = [sys.executable, script, str(path), moment, str(count), json.dumps(words)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_trial_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    from fastbp.studies.trial_run import TrialRun

    path = tmp_path / "study"
    dead(path, "checkpoint", 11)
    (begun,) = [one for one in trials(path).trials if not one.state.is_finished()]
    assert 1 <= begun.last_step < 6
    first = {}
    epoch = TrialRun.epoch

    def seen(self, trainer, history):
        first.setdefault(self.trial.number, len(history.loss))
        epoch(self, trainer, history)

    monkeypatch.setattr(TrialRun, "epoch", seen)
    run(path)
    assert first[begun.number] == begun.last_step + 1
    assert set(first.values()) == {1, begun.last_step + 1}


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("keep", ["run", "result"])
def test_trials_of_a_pack_go_on_alone_or_in_another(together, keep, tmp_path):
    words = {"sampler": "random", "pruner": "none", "trials": 40, "keep": keep}
    whole, path = tmp_path / "whole", tmp_path / "study"
    run(whole, together=1, **words)
    dead(path, "checkpoint", 50, together=4, **words)
    begun = [one.last_step for one in trials(path).trials if not one.state.is_finished()]
    assert len(begun) == 4
    run(path, together=together, **words)
    check(path, keep, 40)
    assert said(path) == said(whole)


SWEEP = """
name: killed
data: {source: blobs, rows: 1500, noise: 3.0}
network: {hidden: [32]}
trainer: {epochs: 60, batch_size: 8}
run: {checkpoint_seconds: 0.02}
sweep:
  trials: 30
  space:
    trainer.optimizer.lr: {log: [1e-4, 1e-1]}
    network.hidden: {width: [16, 32], depth: {int: [1, 2]}}
    network.dropout: {uniform: [0, 0.5]}
"""
KILLS = 6


def processes_of(parent):
    """The processes that a sweep has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name = stat.parent.joinpath("cmdline").read_bytes()
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent and b"spawn_main" in name:
                found.append(int(stat.parent.name))
        except (OSError, ValueError):
            continue
    return found


def started(folder, *more):
    (folder / "s.yaml").write_text(SWEEP)
    words = [sys.executable, "-m", "fastbp", "sweep", "s.yaml", "--storage", "study", *more]
    return subprocess.Popen(
        words, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def has_begun(folder, count=1):
    """Wait until so many trials have ended."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if len(list((folder / "study" / "trials").glob("*.json"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("no trial has ended")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
def test_a_sweep_goes_on_whichever_processes_are_killed(tmp_path):
    chance = random.Random(0)
    sweep = started(tmp_path, "--jobs", "2")
    kills = 0
    try:
        has_begun(tmp_path)
        end = time.monotonic() + DEADLINE
        while kills < KILLS and sweep.poll() is None and time.monotonic() < end:
            time.sleep(chance.uniform(0.02, 0.2))
            for pid in processes_of(sweep.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                kills += 1
        out, err = sweep.communicate(timeout=DEADLINE)
    finally:
        sweep.kill()
    assert sweep.returncode == 0, err
    assert kills >= 2
    said = err.count("was ended by SIGKILL")
    assert kills - 2 <= said <= kills  # what is killed at the end of the sweep may have ended by itself
    check(tmp_path / "study", count=30)
    study = trials(tmp_path / "study")
    assert f"{study.best_value:.4g}" in out
    best = json.loads((tmp_path / "study" / "trials" / f"{study.best_trial.number:05d}" / "result.json").read_text())
    assert best["metrics"]["validation"]["loss"] == study.best_value


def test_processes_stop_when_who_started_them_is_killed_and_the_same_command_goes_on(tmp_path):
    sweep = started(tmp_path, "--jobs", "2")
    has_begun(tmp_path)
    mine = processes_of(sweep.pid)
    sweep.kill()
    sweep.communicate()
    end = time.monotonic() + DEADLINE
    while any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in mine):
        assert time.monotonic() < end
        time.sleep(0.05)
    before = len(trials(tmp_path / "study").trials)
    assert before < 30
    again = started(tmp_path, "--jobs", "2")
    _, err = again.communicate(timeout=DEADLINE)
    assert again.returncode == 0, err
    check(tmp_path / "study", count=30)


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_signal_stops_all_and_the_same_command_goes_on(tmp_path):
    sweep = started(tmp_path, "--jobs", "2")
    has_begun(tmp_path)
    sweep.send_signal(signal.SIGINT)
    out, err = sweep.communicate(timeout=DEADLINE)
    assert (sweep.returncode, out) == (130, ""), err
    assert err.endswith("fastbp: stopped by SIGINT\nhint: the same command goes on\n")
    again = started(tmp_path, "-q")
    _, err = again.communicate(timeout=DEADLINE)
    assert (again.returncode, err) == (0, "")
    check(tmp_path / "study", count=30)


def test_a_process_that_is_told_to_stop_has_another_in_its_place(tmp_path):
    sweep = started(tmp_path, "--jobs", "1")
    has_begun(tmp_path)
    (pid,) = processes_of(sweep.pid)
    os.kill(pid, signal.SIGTERM)
    _, err = sweep.communicate(timeout=DEADLINE)
    assert sweep.returncode == 0, err
    assert f"process 1 (pid {pid}) was stopped by SIGTERM; pid " in err
    check(tmp_path / "study", count=30)


def test_two_commands_share_a_study(tmp_path):
    both = [started(tmp_path, "--jobs", "1"), started(tmp_path, "--jobs", "1")]
    for one in both:
        _, err = one.communicate(timeout=DEADLINE)
        assert one.returncode == 0, err
    check(tmp_path / "study", count=30)
    lines = (tmp_path / "study" / "journal.log").read_text().splitlines()
    asked = {json.loads(line)["worker_id"] for line in lines if json.loads(line)["op_code"] == 4}
    assert len(asked) == 2


def test_a_trial_that_every_process_dies_with_is_given_up(tmp_path, monkeypatch):
    from fastbp.studies import worker
    from fastbp.studies.folder import Opened

    path = tmp_path / "study"
    monkeypatch.setattr(worker, "MOST_DEATHS", 2)
    leave = Opened.leave

    def dies(self, claimed):  # as a killed process does: nothing is said, and its locks are free
        for one in claimed:
            if one.number in self._mine:
                self._mine.discard(one.number)
                one.lock.release(remove=False)

    monkeypatch.setattr(Opened, "leave", dies)
    monkeypatch.setattr(worker.Runs, "__call__", lambda *_: (_ for _ in ()).throw(FastbpError("killed")))
    for _ in range(2):
        with pytest.raises(FastbpError, match="killed"):
            run(path)
    monkeypatch.undo()
    monkeypatch.setattr(worker, "MOST_DEATHS", 2)
    assert Opened.leave is leave
    run(path)
    states = [one.state.name for one in trials(path).trials]
    assert states[0] == "FAIL"
    assert "FAIL" not in states[1:]
    result = json.loads((path / "trials" / "00000.json").read_text())
    assert (result["state"], result["why"]) == ("failed", "2 processes that worked on it died")
