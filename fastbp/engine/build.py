"""Compile everything in parallel processes: into the cache, or into the file shipped with a wheel.

`python -m fastbp.engine.build --level x86-64-v3 --into FOLDER` makes such a file, for any level on any machine; with
`--worker` it is a worker process, which reads names from stdin and reports each when done.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from fastbp.errors import FastbpError

# The slowest ones start first, so that none is left running alone at the end.
LONG = ("weights", "columns", "product", "work", "run_parallel", "embedding_update", "update", "orthonormalise")


def compile_missing(jobs: int, level: str = "", *, shipped: bool = True) -> int:
    """Compile what is missing, in `jobs` processes; returns the number of functions compiled."""
    from fastbp.engine import cache, compiler

    missing = [one for one in compiler.everything() if not compiler.is_kept(*one, shipped=shipped)]
    if missing and cache.folder() is None:
        raise FastbpError("there must be a folder for compiled kernels, see the warning before this")
    missing.sort(key=lambda one: LONG.index(one[0]) if one[0] in LONG else len(LONG))
    if min(jobs, len(missing)) < 2:
        for one in missing:
            compiler.keep(*one)
        return len(missing)
    queue = deque(missing)
    compiler.announce()
    threads = [threading.Thread(target=_feed, args=(queue, level)) for _ in range(min(jobs, len(missing)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [one for one in missing if not compiler.is_kept(*one, shipped=shipped)]
    if left:  # a process died, or the disk is full
        raise FastbpError(
            f"{len(left)} of {len(missing)} kernels could not be compiled and kept, such as `{left[0][0]}`"
        )
    return len(missing)


def _feed(queue: deque[tuple[str, str]], level: str) -> None:
    """Feed functions to one process until none are left."""
    command = [sys.executable, "-m", "fastbp.engine.build", "--worker", *(["--level", level] if level else [])]
    environment = {**os.environ, "FASTBP_QUIET": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        assert process.stdin
        assert process.stdout
        while queue:
            try:
                name, real = queue.popleft()
            except IndexError:  # another thread took it
                break
            process.stdin.write(f"{name} {real}\n")
            if not process.stdout.readline():
                return


def _work() -> None:
    """Compile the functions named on stdin, one per line."""
    from fastbp.engine import compiler

    for line in sys.stdin:
        name, real = line.split()
        compiler.keep(name, real)
        print("done", flush=True)


def pack(level: str, into: Path, jobs: int) -> Path:
    """Write the objects of a level to one file in the folder `into`."""
    import llvmlite
    import numba

    from fastbp.engine import cache, compiler

    compile_missing(jobs, level, shipped=False)
    objects = {f"{name}-{real}": cache.read(f"{name}-{real}") for name, real in compiler.everything()}
    made = {"numba": numba.__version__, "llvmlite": llvmlite.__version__, "python": sys.version.split()[0]}
    file = into / f"{level}.objects"
    whole = {name: content for name, content in objects.items() if content is not None}
    if len(whole) < len(objects):
        raise FastbpError(f"{len(objects) - len(whole)} of {len(objects)} kernels could not be read again")
    cache.pack(file, whole, made)
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    from fastbp.kernels import levels

    parser = argparse.ArgumentParser(prog="python -m fastbp.engine.build", description=__doc__)
    parser.add_argument("--level", choices=levels.LEVELS, help="by default this machine's")
    parser.add_argument("--into", type=Path, help="the folder for the file of objects")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worker", action="store_true", help="compile what the input names")
    chosen = parser.parse_args(arguments)
    if chosen.level:
        levels.build_for(chosen.level)
    if chosen.worker:
        _work()
    elif chosen.into and chosen.level:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["FASTBP_CACHE_DIR"] = folder
            print(pack(chosen.level, chosen.into, chosen.jobs))
    else:
        parser.error("`--into` and `--level` must be given together")


if __name__ == "__main__":
    main()
