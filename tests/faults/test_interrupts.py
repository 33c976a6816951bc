"""Signals before any operation on files, and two processes on one run: the same bits, or a sentence that says why not.

Nothing here waits for a time: signals come before the Nth operation, or after an import. Here a sample; all by
`scripts/faults`.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.server import (
    CONFIG,
    FILES,
    RARELY,
    ROOT,
    SIGNAL,
    TWICE,
    WHOLE,
    can_run,
    numbers,
    recover,
    told,
)

pytestmark = pytest.mark.skipif(not can_run(), reason="a compiler builds the library that sends signals")
SIGNALS = {130: signal.SIGINT, 143: signal.SIGTERM, 129: signal.SIGHUP}  # and what the process exits with


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory):
    """A folder with the configuration and runs that nothing happened to, and how many operations they took."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "config.yaml").write_text(CONFIG)
    totals = {}
    for name in ("often", "rarely"):
        command = fresh(folder, folder / name, name)
        status, said, totals[name] = server.run(*command, below=folder / name)
        assert (status, said) == (0, "")
    return folder, totals


def fresh(folder, target, kind):
    more = RARELY if kind == "rarely" else []
    return ["train", str(folder / "config.yaml"), "-q", "--run-dir", str(target), *more]


def ends_well(server, target, command, expected, where):
    recover(server, target, command)
    assert told(target) == expected, where
    assert {path.name for path in target.iterdir()} == FILES, where


@pytest.mark.parametrize("kind", ["often", "rarely"])
@pytest.mark.parametrize("code", SIGNALS, ids=["interrupt", "terminate", "hang-up"])
@pytest.mark.parametrize("mode", [SIGNAL, TWICE], ids=["once", "twice"])
def test_a_signal_before_an_operation(mode, code, kind, server, runs, tmp_path):
    folder, totals = runs
    expected, ends = told(folder / kind), set()
    for at in numbers(totals[kind], 7):
        target = tmp_path / f"{at}"
        command = fresh(folder, target, kind)
        status, said, _ = server.run(*command, below=target, mode=mode, at=at, code=SIGNALS[code])
        where = f"operation {at} of {totals[kind]}, status {status}: {said}"
        ends.add(status)
        assert status in (0, code, -SIGNALS[code]), where
        assert "Traceback" not in said, where
        if status == code:
            assert "fastbp: stopped" in said, where
        else:  # after the last epoch, or by the system
            assert said == "", where
        ends_well(server, target, command, expected, where)
    assert code in ends or mode == TWICE or kind == "rarely"


@pytest.mark.parametrize("kind", ["often", "rarely"])
def test_a_process_that_stops_goes_on(kind, server, runs, tmp_path):
    folder, totals = runs
    for at in numbers(totals[kind], 5):
        target = tmp_path / f"{at}"
        command = fresh(folder, target, kind)
        status, said, _ = server.run(*command, below=target, mode=SIGNAL, at=at, code=signal.SIGSTOP)
        assert (status, said, server.stops) == (0, "", 1), f"operation {at}"
        assert told(target) == told(folder / kind), f"operation {at}"
        assert {path.name for path in target.iterdir()} == FILES


LOCKED = 3  # operations until a run is held


@pytest.mark.parametrize("pair", ["fresh, fresh", "fresh, resume", "resume, resume"])
def test_two_processes_on_one_run(pair, server, runs, tmp_path):
    """One of them works on it; the other, in whose middle it is started, waits for nothing and spoils nothing."""
    folder, _ = runs
    expected = told(folder / "often")

    def commands(target):
        new, again = (
            fresh(folder, target, "often"),
            ["train", "--resume", str(target), "-q", "--set", "trainer.epochs=4"],
        )
        if pair == "resume, resume":
            assert server.run(*new, "--set", "trainer.epochs=2")[0] == 0
        first, other = pair.split(", ")
        return {"fresh": new, "resume": again}[first], {"fresh": new, "resume": again}[other]

    first, _ = commands(tmp_path / "count")
    total = server.run(*first, below=tmp_path / "count")[2]
    for at in numbers(total, 6):
        target = tmp_path / f"{at}"
        first, other = commands(target)
        words = {"below": target, "mode": SIGNAL, "at": at, "code": signal.SIGSTOP, "beside": other}
        ends = [server.run(*first, **words)[:2], server.beside]
        where = f"operation {at} of {total}: {ends}"
        assert server.stops == 1, where
        for status, said in ends:
            assert status in (0, 2), where
            after = said == "" or said.startswith("fastbp: nothing was trained, ")  # the other one had trained all
            assert after if status == 0 else said.startswith("fastbp: ") and "Traceback" not in said, where
        assert 0 in (ends[0][0], ends[1][0]), where
        one_after_the_other = pair != "fresh, fresh" and (at <= LOCKED or at == total)
        assert one_after_the_other or ends[0][0] != ends[1][0], where
        assert told(target) == expected, where
        assert {path.name for path in target.iterdir()} == FILES, where


# The first second

MOMENTS = ["fastbp.cli", "click.core", "msgspec", "numpy", "numba", "fastbp.engine.plan", "fastbp.runs.training"]
LOADING = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        print(name)
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("fastbp", run_name="__main__")
"""


def interrupted_at(module, folder):
    """Exit code and errors of a command that gets a signal when it imports a module, and the modules."""
    code = LOADING.replace("MODULE", repr(module))
    command = [sys.executable, "-c", code, "train", "config.yaml", "-q", "--run-dir", "run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FASTBP_QUIET": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr, done.stdout.split()


def test_a_command_that_is_interrupted_while_it_loads(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    moments = MOMENTS[1::2]
    if WHOLE:
        code, errors, modules = interrupted_at("nothing", tmp_path)
        assert (code, errors) == (0, "")
        shutil.rmtree(tmp_path / "run")
        moments = [*MOMENTS, *modules[modules.index("fastbp.cli") : modules.index("fastbp.runs.training") : 12]]
    for module in moments:
        code, errors, _ = interrupted_at(module, tmp_path)
        assert (code, errors.strip()) in ((130, ""), (130, "fastbp: stopped")), (module, errors)
        assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"], module


def test_the_measure_of_this_file_sees_another_bit(runs, tmp_path):
    folder, _ = runs
    assert told(folder / "often")[1:] == told(folder / "rarely")[1:]
    other = tmp_path / "other"
    other.mkdir()
    for path in (folder / "often").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert told(other) == told(folder / "often")
    Path(other, "history.csv").write_text(Path(other, "history.csv").read_text().replace("1", "2", 1))
    assert told(other) != told(folder / "often")
