"""`fb.export.c`: a model as one C99 file and its header."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from fastbp.errors import ConfigError, brief
from fastbp.export.in_c.file import CFile
from fastbp.export.in_c.names import name_of
from fastbp.export.model import model_of
from fastbp.spec.checks import flag, path_ending_in, texts
from fastbp.writing import write_together

ENDING = ".c"


def c(
    model: Any,
    path: Any,
    name: str | None = None,
    jacobian: bool = False,
    casadi: bool = False,
    preprocessing: bool = True,
    numbers: Collection[str] = (),
) -> list[Path]:
    """Write a model as a C99 file, and its header beside it, that give the bits of `predict`.

    They need nothing but a compiler and its math.h, and allocate nothing. Compiled with -ffp-contract=off, and with
    ``-D..._SELF_TEST`` as a program that compares stored rows bit by bit.

    Parameters
    ----------
    model : Network, Trainer, Pack, Ensemble, estimator of `fastbp.sklearn`, or path
        A path is of a file that one of these was saved to, or of a run's folder.
    path : str or Path
        Ends in .c; the header's name is the same with .h.
    name : str, optional
        What names of functions begin with, by default the file's name.
    jacobian : bool
        Whether derivatives of a network in its inputs are written too: vjp, jvp and the whole Jacobian.
    casadi : bool
        Whether there are functions by which CasADi's `external` calls a network and its derivatives.
    preprocessing : bool
        Whether there are functions that take rows of a table, of a model with a recipe.
    numbers : list of str
        Columns of categories that are given as numbers rather than as texts.

    Returns
    -------
    list of Path
        What has been written.
    """
    file = path_ending_in("path", path, ENDING)
    derived, called = flag("jacobian", jacobian), flag("casadi", casadi)
    found = model_of(model)
    found = found if flag("preprocessing", preprocessing) else found.bare()
    numbers = texts("numbers", numbers)
    if numbers and not found.recipes:
        raise ConfigError("numbers", "must be given where rows are raw only", f"`{brief(numbers)}`")
    written = CFile(found, name_of(file.stem, name, called), derived or called, called, numbers)
    header = file.with_suffix(".h")
    write_together({file: written.source(header.name).encode(), header: written.header().encode()})
    return [file, header]
