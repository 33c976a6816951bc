"""Processes that `mpiexec` starts together, for tests of ranks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BESIDE = Path(sys.executable).parent
LAUNCHER = next((str(BESIDE / name) for name in ("mpiexec", "mpirun") if (BESIDE / name).exists()), None)
LAUNCHER = LAUNCHER or shutil.which("mpiexec")
# More ranks than processors, by any user: what Open MPI otherwise refuses.
ALLOWED = {
    "PYTHONPATH": str(Path(__file__).parents[1]),
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PYTHONUNBUFFERED": "1",
    "FASTBP_QUIET": "1",
}


def started(count: int, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Python with these arguments, as so many ranks in a session of their own."""
    assert LAUNCHER is not None
    return subprocess.Popen(
        [LAUNCHER, "-n", str(count), sys.executable, *arguments],
        env={**os.environ, **ALLOWED, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 100.0) -> tuple[int, str, str]:
    """Its exit code, and what it has said; all that is left of its session is killed."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        for rank in ranks_of(process):
            os.kill(rank, 9)
        process.kill()
        raise
    return process.returncode, out, err


def run(count: int, *arguments: str, seconds: float = 100.0, **environment: str) -> tuple[int, str, str]:
    """Run them to their end."""
    return ended(started(count, *arguments, **environment), seconds)


def ranks_of(process: subprocess.Popen[str]) -> dict[int, int]:
    """The ranks of a launcher that is running, by the numbers of their processes."""
    parents, ranks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid, status = int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()
            parents[pid] = int(status[1])
            said = dict(word.split("=", 1) for word in (folder / "environ").read_text().split("\0") if "=" in word)
        except (OSError, UnicodeDecodeError):
            continue
        rank = said.get("PMI_RANK", said.get("OMPI_COMM_WORLD_RANK"))
        if rank is not None:
            ranks[pid] = int(rank)
    return {pid: rank for pid, rank in ranks.items() if process.pid in _above(pid, parents)}


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    found: set[int] = set()
    while pid in parents and pid not in found:
        found.add(pid)
        pid = parents[pid]
    return found
