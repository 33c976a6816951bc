"""Commands of fastbp in forked processes, below a library that makes the Nth operation on files fail.

`Server` starts one process, which has loaded everything once; each command is a fork of it, so that hundreds take a
minute. It uses one thread itself, since a process whose threads have started cannot be forked.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ONCE, FOREVER, KILL, HALF = 1, 2, 3, 4


WHOLE = os.environ.get("FASTBP_FAULTS") == "all"  # or a sample


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

    def run(self, *arguments, below="", mode=0, at=0, code=5, fsync_ms=0, seconds=60.0, threads=1, memory=None):
        """Exit code (minus the signal that ended it), what was said on stderr, and the operations counted.

        The process ends after `seconds` as by kill -9, whatever it does. It sees `memory` bytes of free memory, by
        default the machine's; `self.peak` is how many it took, `self.cpu` the seconds that it computed.
        """
        words = {"arguments": arguments, "below": str(below), "mode": mode, "at": at, "code": code, "threads": threads}
        words |= {"fsync_ms": fsync_ms, "seconds": seconds, "folder": str(self.folder), "memory": memory}
        self.child.stdin.write(json.dumps(words) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        self.syncs = answer["syncs"]  # where they were slow
        self.peak, self.cpu = answer["peak"], answer["cpu"]
        return answer["status"], (self.folder / "stderr").read_text(), answer["count"]


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


def serve():
    warm_up()
    for line in sys.stdin:
        words = json.loads(line)
        count = Path(words["folder"], "count")
        for name in ("count", "stderr"):
            Path(words["folder"], name).write_text("")
        child = os.fork()
        if child == 0:
            os._exit(work(words, count))
        _, ended, used = os.wait4(child, 0)
        status = os.waitstatus_to_exitcode(ended)
        counts = [int(number) for number in count.read_text().split()] or [0, 0]
        took = {"peak": used.ru_maxrss << 10, "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps({"status": status, "count": counts[0], "syncs": counts[1], **took}))
        sys.stdout.flush()


def warm_up():
    """Load all that commands need, so that no fork has to."""
    import tempfile

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


def work(words, count):
    """In the fork: one command with its fault."""
    from fastbp.cli.main import main
    from fastbp.data import array_files

    if words["memory"]:
        array_files.memory = lambda: words["memory"]
    os.environ["FASTBP_NUM_THREADS"] = str(words["threads"])
    signal.setitimer(signal.ITIMER_REAL, words["seconds"])  # nobody handles it, so it ends the process at once
    out = os.open(Path(words["folder"], "stderr"), os.O_WRONLY)
    os.dup2(out, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    library = ctypes.CDLL(None)
    library.shim_count.restype = library.shim_syncs.restype = ctypes.c_long
    arm = [os.fsencode(words["below"]), words["mode"], ctypes.c_long(words["at"]), words["code"], words["fsync_ms"]]
    library.shim_arm(*arm)
    try:
        return main(words["arguments"])
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        counted = f"{library.shim_count()} {library.shim_syncs()}"
        library.shim_arm(b"", 0, ctypes.c_long(0), 0, 0)
        count.write_text(counted)
        sys.stderr.flush()


CONFIG = """
name: small
data: {source: spirals, rows: 200}
network: {hidden: [8], activation: tanh, dropout: 0.1, norm: batch_norm}
trainer: {epochs: 4, batch_size: 16, ema: 0.9, early_stopping: {patience: 50}}
run: {checkpoint_seconds: 0}
"""


if __name__ == "__main__":
    serve()
