"""`fb.sweep` of functions, and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from tests.studies.sought import CONFIG, SPACE, rows

optuna = pytest.importorskip("optuna")


def parabola(trial):
    x, k = trial.suggest_float("x", -1, 1), trial.suggest_categorical("k", ["a", "b"])
    for step in range(3):
        trial.report((x - 0.5) ** 2 + (k == "a"), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return (x - 0.5) ** 2 + (k == "a")


def test_a_function_is_searched(tmp_path):
    study = fb.sweep(parabola, trials=40)
    again = fb.sweep(parabola, trials=40)
    assert rows(study) == rows(again)
    assert study.best_value < 0.05
    assert study.best_settings == study.optuna.best_params
    assert study.best_settings["k"] == "b"
    assert set(study.importance) == {"x", "k"}
    folder = study.folder.path
    assert folder.is_dir()
    del study
    assert not folder.exists()


def test_a_function_is_searched_by_several_processes_and_upwards(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import fastbp as fb\n"
        "def up(trial):\n"
        "    return -((trial.suggest_float('x', -1, 1) - 0.5) ** 2)\n"
        "if __name__ == '__main__':\n"
        "    study = fb.sweep(up, trials=30, jobs=2, mode='max', storage='s')\n"
        "    print(len(study), study.best_value > -0.05)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "script.py"], **words)
    assert (done.stdout, done.stderr) == ("30 True\n", "")


HIDDEN = """
import sys, types
import fastbp as fb
module = types.ModuleType("hidden")
sys.modules["hidden"] = module
exec("def up(trial): return 0.0", module.__dict__)
if __name__ == "__main__":
    try:
        fb.sweep(module.up, jobs=2, storage="s")
    except fb.FastbpError as error:
        print(error)
"""


def test_a_function_that_processes_cannot_import_ends_the_sweep(tmp_path):
    (tmp_path / "script.py").write_text(HIDDEN.replace("sys.modules[", "if __name__ == '__main__': sys.modules["))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "script.py"], **words)
    assert "ended with code 1, which it says more of above" in done.stdout
    assert "No module named 'hidden'" in done.stderr


INTERRUPTED = """
import os, pathlib, signal, threading, time
import fastbp as fb

def slow(trial):
    time.sleep(0.05)
    return trial.suggest_float("x", -1, 1)

def interrupt():
    while not pathlib.Path("s/trials/00001.json").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIG)

if __name__ == "__main__":
    threading.Thread(target=interrupt).start()
    try:
        fb.sweep(slow, trials=100_000, jobs=2, storage="s")
    except Exception:
        print("an error like others")
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop}")
"""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGINT", 0, "interrupted: stopped by SIGINT\n"), ("SIGTERM", 143, "")]
)
def test_a_sweep_that_is_interrupted_ends_as_other_calls_do(name, code, said, tmp_path):
    (tmp_path / "script.py").write_text(INTERRUPTED.replace("signal.SIG)", f"signal.{name})"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "script.py"], **words)
    assert (done.returncode, done.stdout, done.stderr) == (code, said, "")


def test_a_function_of_a_notebook_is_refused_by_several_processes(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    script = "import fastbp as fb\ndef up(trial): return 0.0\nfb.sweep(up, jobs=2, trials=2)\n"
    done = subprocess.run([sys.executable, "-c", script], **words)
    assert "`objective` must be a function at the top of a module with `jobs` above 1" in done.stderr
    assert done.stderr.endswith("\nhint: write a function of a notebook to a .py file, and import it from there\n")


UNGUARDED = """
import fastbp as fb
def up(trial): return 0.0
try:
    fb.sweep(up, jobs=2, trials=2, storage="s")
except fb.ConfigError as error:
    print(error)
"""
POOLED = """
import multiprocessing
import fastbp as fb
def up(trial): return 0.0
def said(_):
    try:
        fb.sweep(up, jobs=2, trials=2, storage="s")
    except fb.ConfigError as error:
        return str(error)
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(said, [0])[0])
"""
GUARD = '`sweep` must be called below `if __name__ == "__main__":`, as each process reads the program\'s file first\n'
POOL = "`jobs` must be 1 in a process of `multiprocessing.Pool`, which may start no others\n"
NO_FILE = "`jobs` must be 1 in a program without a file, which other processes would read"


@pytest.mark.parametrize("case", ["no guard", "a pool", "no file"])
def test_processes_that_cannot_be_started_are_one_sentence(case, tmp_path):
    script, said = {"no guard": (UNGUARDED, GUARD), "a pool": (POOLED, POOL), "no file": (UNGUARDED, NO_FILE)}[case]
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 120}
    given = {"input": script} if case == "no file" else {}
    done = subprocess.run([sys.executable, "-" if given else "script.py"], **words, **given)
    assert done.stdout.startswith(said)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_of_a_function_is_told_and_raised(tmp_path, capfd):
    def broken(trial):
        trial.suggest_int("n", 1, 3)
        raise RuntimeError("no\nmore")

    with pytest.raises(RuntimeError, match="no"):
        fb.sweep(broken, storage=tmp_path / "s")
    study = fb.sweep(lambda trial: trial.suggest_int("n", 1, 3), trials=4, storage=tmp_path / "s")
    assert [row.why for row in study.rows if row.state == "failed"] == ["RuntimeError: no\nmore"]
    assert [row.get("why") for row in study] == [None, None, None, "RuntimeError: no\nmore"]
    assert len(study) == 4
    assert main(["sweep", "show", str(tmp_path / "s")]) == 0
    assert "\ntrial 0 failed: RuntimeError: no\nstudy folder " in capfd.readouterr().out


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize(
    ("before", "now", "must", "got"),
    [
        ("float('v', 0, 1)", "int('v', 0, 9)", "a number", "a whole number"),
        ("int('v', 1, 9, log=True)", "int('v', 1, 9)", "a whole number by its logarithm", "a whole number"),
        ("int('v', 0, 9)", "categorical('v', [3, 4])", "a whole number", "one of `3`, `4`"),
        ("categorical('v', 'ab')", "categorical('v', 'ac')", "one of `'a'`, `'b'`", "one of `'a'`, `'c'`"),
    ],
)
def test_a_function_with_settings_of_other_kinds_is_refused(before, now, must, got, sampler, tmp_path):
    def of(kind):
        return lambda trial: hash(eval(f"trial.suggest_{kind}", {"trial": trial})) % 100

    words = {"storage": tmp_path / "s", "sampler": sampler}
    fb.sweep(of(before), trials=12, **words)
    with pytest.raises(fb.ConfigError) as info:
        fb.sweep(of(now), trials=15, **words)
    assert str(info.value) == (
        f"`v` must be {must}, as other trials of the study have it, got {got}\n"
        "hint: in all trials a setting is of one kind; another `storage` begins another study"
    )
    assert len(fb.sweep(of(before), trials=15, **words)) == 15


def test_the_range_of_a_setting_may_change(tmp_path):
    for trials, high in ((2, 1), (4, 2)):
        study = fb.sweep(lambda trial, to=high: trial.suggest_int("n", 1, to), trials=trials, storage=tmp_path / "s")
    assert len(study) == 4


def test_a_configuration_and_a_space_may_have_tuples_numbers_of_numpy_and_paths(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    config = {"data": {"path": table, "target": "y"}, "trainer": {"epochs": np.int64(2)}, "network": {"hidden": (4,)}}
    space = {
        "trainer.optimizer.lr": {"log": (np.float32(0.125), 0.5)},
        "trainer.batch_size": np.array([8, 16]),
        "network.dropout": (0.0, 0.25),
        "seed": range(3),
    }
    study = fb.sweep(config, space, trials=3, storage=tmp_path / "s", sampler="random")
    assert [row.state for row in study.rows] == ["complete"] * 3
    assert all(type(value) in (int, float) for row in study.rows for value in row.settings.values())


def test_a_study_is_of_a_function_or_of_a_configuration(tmp_path):
    of_function, of_configuration = tmp_path / "f", tmp_path / "c"
    fb.sweep(parabola, trials=1, storage=of_function)
    fb.sweep(CONFIG, SPACE, trials=1, storage=of_configuration)
    with pytest.raises(fb.CheckpointError) as info:
        fb.sweep(CONFIG, SPACE, trials=2, storage=of_function)
    assert str(info.value) == f"`{of_function}` must be the study of a configuration, but has no `sweep.yaml`"
    with pytest.raises(fb.CheckpointError) as info:
        fb.sweep(parabola, trials=2, storage=of_configuration)
    assert str(info.value) == f"`{of_configuration}` must be the study of a function, but is that of a configuration"


@pytest.mark.parametrize(
    ("objective", "words", "message"),
    [
        (3, {}, "`objective` must be a function of a trial, a configuration as a dict, or its file, got `3`"),
        (parabola, {"n_trials": 3}, "the arguments of `sweep` must be of `objective`, `space`, `trials`"),
        (parabola, {"storage": 3}, "`storage` must be a path, got `3`"),
        (
            parabola,
            {"storage": "sqlite:///study.db"},
            "`storage` must be a folder, in which studies are kept here, not a database, got `sqlite:///study.db`",
        ),
        (lambda trial: None, {}, "`objective` must return a number, got `None`"),
        (lambda trial: (1.0, 2.0), {}, "`objective` must return a number, got `(1.0, 2.0)`"),
        (CONFIG, {"space": [1]}, "`space` must be a dict from keys of the configuration to what they are chosen from"),
        (CONFIG, {"space": "lr"}, "`space` must be a dict from keys of the configuration to what they are chosen from"),
        (parabola, {"space": {}}, "`space` must be left out where the objective is a function, got `{}`"),
        (parabola, {"mode": "down"}, "`mode` must be one of `min`, `max`, got `down`"),
        (parabola, {"jobs": 0}, "`jobs` must be at least 1, got `0`"),
        (parabola, {"trials": 0}, "`trials` must be at least 1, got `0`"),
        (parabola, {"sampler": "tep"}, "`sampler` must be one of "),
        (parabola, {"sampler": "grid"}, "`sampler` must not be `grid` with a function"),
        (lambda trial: 0, {"jobs": 2}, "`objective` must be a function at the top of a module with `jobs` above 1"),
        ({"data": {"source": "moons"}}, {}, "`sweep` must be given, with a `space` of what is searched"),
        (
            CONFIG,
            {"space": SPACE, "mode": "max"},
            "`mode` must be left out where the objective is a configuration, whose `trainer.monitor` says it",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(objective, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fb.ConfigError) as info:
        fb.sweep(objective, **words)
    assert str(info.value).startswith(message)
    assert list(tmp_path.iterdir()) == []
