"""Commands of fastbp and functions in forked processes, below a library that makes the Nth operation on files fail.

`Server` starts one process, which has loaded everything once; each command is a fork of it, so that hundreds take a
minute. It uses one thread itself, since forks of a process whose threads have started have no others.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ONCE, FOREVER, KILL, HALF, SIGNAL, TWICE = 1, 2, 3, 4, 5, 6
NOBODY = 65534  # a user whom permissions bind


FILES = {
    *("config.yaml", "environment.json", "metrics.jsonl", "history.csv", "best.safetensors", "last.safetensors"),
    *("checkpoint.safetensors", "curves.svg", "confusion.svg", "calibration.svg", "result.json"),
    *("confusion.csv", "calibration.csv"),
}
RARELY = ["--set", "run.checkpoint_seconds=1000"]
WHOLE = os.environ.get("FASTBP_FAULTS") == "all"  # or a sample
KILLS = 3  # of each run, at most


def can_run():
    """Whether this machine can build and preload the library."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def build(folder):
    """The library, compiled."""
    library = Path(folder) / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "shim.c", "-ldl"], check=True)
    return library


class Server:
    """Runs commands, one after another."""

    def __init__(self, folder):
        environment = {**os.environ, "LD_PRELOAD": str(build(folder)), "FASTBP_NUM_THREADS": "1", "FASTBP_QUIET": "1"}
        command = [sys.executable, "-m", "tests.faults.server"]
        self.folder = Path(folder)
        self.child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.child:  # closes both ends
            self.child.stdin.close()

    def run(self, *arguments, seconds=60.0, **words):
        """Exit code (minus the signal that ended it), what was said on stderr, and the operations counted.

        The process ends after `seconds` as by kill -9, whatever it does. One that stops, as by SIGSTOP, goes on at
        once, or when the command `beside` has ended. All other words are those of `DEFAULTS`; `at` is the operation
        below the folder `below` that fails with `code`, or before which the signal `code` comes. `self.peak` is how
        many bytes of memory it took, `self.cpu` the seconds that it computed.
        """
        words = {**DEFAULTS, **words, "arguments": arguments, "seconds": seconds, "folder": str(self.folder)}
        assert words.keys() == DEFAULTS.keys() | {"arguments", "seconds", "folder"}
        self.child.stdin.write(json.dumps(words, default=str) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        self.syncs = answer["syncs"]  # where they were slow
        self.stops = answer["stops"]
        self.beside = answer["beside"], (self.folder / "beside").read_text()  # exit code, and what was said
        self.peak, self.cpu = answer["peak"], answer["cpu"]
        return answer["status"], (self.folder / "stderr").read_text(), answer["count"]

    def call(self, function, *arguments, **words):
        """As `run`, for a function of a module; 1 is for an error of fastbp's, 99 for any other."""
        return self.run(*arguments, function=f"{function.__module__}:{function.__name__}", **words)


DEFAULTS = {
    "function": None,  # or a command
    "below": "",
    "mode": 0,
    "at": 0,
    "code": 5,
    "fsync_ms": 0,
    "threads": 1,
    "beside": None,
    "stdout": os.devnull,  # a path, or None for a stdout that is closed
    "uid": None,
    "cwd": None,  # "" is a folder that is removed
    "variables": {},  # of the environment; None takes one out
    "memory": None,  # bytes that are free, by default the machine's
}


def numbers(total, few):
    """Which of the operations are tried: all, or a sample."""
    return range(1, total + 1) if WHOLE else sorted({1 + i * (total - 1) // (few - 1) for i in range(few)})


def told(folder):
    """All that two runs of the same training must have in common."""
    from safetensors.numpy import load_file

    arrays = {
        name: {key: array.tobytes() for key, array in load_file(folder / f"{name}.safetensors").items()}
        for name in ("checkpoint", "best", "last")
    }
    result = json.loads((folder / "result.json").read_text())
    texts = [(folder / name).read_text() for name in ("metrics.jsonl", "history.csv")]
    return arrays, texts, [result[name] for name in ("metrics", "best_epoch", "epochs", "steps", "stopped")]


def recover(server, target, command):
    """Go on as a user would: `--resume`, and where there is nothing to resume the command again."""
    status, said, _ = server.run("train", "--resume", str(target), "-q", "--set", "trainer.epochs=4")
    if status == 2 and ("has no `config.yaml`" in said):
        status, said, _ = server.run(*command)
    assert status == 0, said


def end_of(server, start, target, random, seconds):
    """Run a command, kill it after `seconds(attempt)` and resume it, a few times, then to the end, on any threads.

    Returns what it said each time, and how often it was killed.
    """
    command = fresh = [*start, "--run-dir", str(target)]
    kills, every = 0, []
    for attempt in range(KILLS + 1):
        limit = seconds(attempt) if attempt < KILLS else 60.0
        status, said, _ = server.run(*command, seconds=limit, threads=random.choice([1, 2, 3]))
        kills += status < 0
        if "has no `config.yaml`" in said:  # and perhaps killed just after it had said so
            status, said, _ = server.run(*fresh, threads=random.choice([1, 2, 3]))
        assert status in (0, -14), (attempt, said)
        every.append(said)
        command = ["train", "--resume", str(target), "-q"]
    assert status == 0
    return every, kills


def serve():
    warm_up()
    for line in sys.stdin:
        words = json.loads(line)
        for name in ("count", "stderr", "beside"):
            Path(words["folder"], name).write_text("")
        status, stops, beside, used = wait(start(words, "stderr"), words)
        count = Path(words["folder"], "count").read_text().split()
        counts = [int(number) for number in count] or [0, 0]
        took = {"peak": used.ru_maxrss << 10, "cpu": used.ru_utime + used.ru_stime}
        answer = {"status": status, "count": counts[0], "syncs": counts[1], "stops": stops, "beside": beside, **took}
        print(json.dumps(answer))
        sys.stdout.flush()


def start(words, stderr):
    child = os.fork()
    if child == 0:
        os._exit(work(words, stderr))
    return child


def wait(child, words):
    """The status of a process, how often it stopped, the status of the one that ran meanwhile, and what it used."""
    stops, beside = 0, None
    while True:
        _, status, used = os.wait4(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status), stops, beside, used
        stops += 1
        if words["beside"] is not None:
            other = {**words, "arguments": words["beside"], "mode": 0, "beside": None}
            beside = wait(start(other, "beside"), other)[0]
        os.kill(child, signal.SIGCONT)


def warm_up():
    """Load all that commands need, so that no fork has to."""
    with contextlib.suppress(ImportError):
        import optuna.importance
        import optuna.storages.journal  # noqa: F401
    import tests.faults.jobs  # noqa: F401
    from fastbp.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        config.write_text(CONFIG)
        with open(os.devnull, "w") as nowhere:
            out, sys.stdout = sys.stdout, nowhere
            try:
                assert main(["train", str(config), "-q", "--run-dir", str(Path(folder, "run"))]) == 0
            finally:
                sys.stdout = out


def work(words, stderr):
    """In the fork: one command or function with its fault."""
    from fastbp.data import array_files, shards

    if words["memory"]:
        array_files.memory, shards.LITTLE = lambda: words["memory"], 0
    for name, value in {"FASTBP_NUM_THREADS": str(words["threads"]), **words["variables"]}.items():
        os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
    signal.setitimer(signal.ITIMER_REAL, words["seconds"])  # nobody handles it, so it ends the process at once
    os.dup2(os.open(Path(words["folder"], stderr), os.O_WRONLY), 2)
    count = os.open(Path(words["folder"], "count"), os.O_WRONLY)
    redirect(words["stdout"])
    if words["cwd"] is not None:
        move(words["cwd"])
    if words["uid"] is not None:
        os.setgid(words["uid"])
        os.setuid(words["uid"])
    library = ctypes.CDLL(None)
    library.shim_count.restype = library.shim_syncs.restype = ctypes.c_long
    arm = [os.fsencode(words["below"]), words["mode"], ctypes.c_long(words["at"]), words["code"], words["fsync_ms"]]
    library.shim_arm(*arm)
    try:
        return perform(words["function"], words["arguments"])
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        counted = f"{library.shim_count()} {library.shim_syncs()}"
        library.shim_arm(b"", 0, ctypes.c_long(0), 0, 0)
        if stderr == "stderr":
            os.write(count, counted.encode())
        sys.stderr.flush()


def redirect(path):
    """Let stdout be a file, a pipe that nobody reads, or closed, as Python finds it then."""
    os.close(1)
    if path is None:
        sys.stdout = None
        return
    if path == "pipe":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open(path, os.O_WRONLY)
    if write != 1:
        os.dup2(write, 1)
        os.close(write)


def move(cwd):
    """Work in a folder, or in one that is gone."""
    if cwd:
        os.chdir(cwd)
        return
    os.chdir(tempfile.mkdtemp())
    os.rmdir(os.getcwd())


def perform(function, arguments):
    """The exit code, with what Python would do to it at its end."""
    from fastbp.cli.main import main
    from fastbp.errors import FastbpError

    if function is None:
        code = main(arguments)
        try:
            sys.stdout is None or sys.stdout.flush()
        except OSError:
            print("stdout could not be flushed at the end", file=sys.stderr)
            code = 120
        return code
    module, _, name = function.partition(":")
    try:
        return getattr(import_module(module), name)(*arguments) or 0
    except FastbpError as error:
        print(f"fastbp: {error}", file=sys.stderr)
        return 1


CONFIG = """
name: small
data: {source: spirals, rows: 200}
network: {hidden: [8], activation: tanh, dropout: 0.1, norm: batch_norm}
trainer: {epochs: 4, batch_size: 16, ema: 0.9, early_stopping: {patience: 50}}
run: {checkpoint_seconds: 0}
"""


if __name__ == "__main__":
    serve()
