"""The split into training, validation and test rows: a pure function of the seed and the number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import DataError
from fastbp.numerics.philox import words

Array = NDArray[Any]
PARTS = ("train", "validation", "test")
SPLIT = 8  # purpose of the random numbers


def shuffled(rows: int, seed: int) -> Array:
    """Row numbers in random order."""
    counter = np.zeros((4, rows), np.uint64)
    counter[0] = np.arange(rows)
    counter[3] = SPLIT
    drawn = words(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return np.argsort(drawn[0] << np.uint64(32) | drawn[1], kind="stable")


def split(
    rows: int,
    seed: int,
    validation: float,
    test: float,
    *,
    classes: Array | None = None,
    groups: Array | None = None,
    folds: int | None = None,
    fold: int = 0,
) -> dict[str, Array]:
    """Split rows, each part in ascending order.

    Parameters
    ----------
    validation, test : float, 0 to 1
        Fractions of the rows; their sum must be below 1.
    classes : array, optional
        Every class gets the same share in each part, up to one row, and one for training in any case.
    groups : array, optional
        Equal values stay together.
    folds, fold : int
        Split the rows that are not test into `folds` and validate on one.
    """
    units, of_row = np.unique(groups, return_inverse=True) if groups is not None else (None, None)
    count = rows if units is None else len(units)
    order = shuffled(count, seed)
    if classes is not None and groups is None:
        # Ordered by relative rank in the class: equal parts of the order have equal shares of each class.
        within = np.empty(count)
        for value in np.unique(classes):
            members = order[classes[order] == value]
            within[members] = (np.arange(len(members)) + 0.5) / len(members)
            if folds is None:
                within[members[0]] = 0.0  # always keep one to train on
        order = order[np.argsort(within[order], kind="stable")]
    place = np.empty(count)
    place[order] = (np.arange(count) + 0.5) / count
    held = place >= 1.0 - test
    if folds is not None:
        chosen = (np.minimum(np.floor(place / (1.0 - test) * folds), folds - 1) == fold) & ~held
    else:
        chosen = (place >= 1.0 - test - validation) & ~held
    part = np.where(held, 2, np.where(chosen, 1, 0))
    if of_row is not None:
        part = part[of_row]
    found = {name: np.flatnonzero(part == i) for i, name in enumerate(PARTS)}
    wanted = {"train": 1.0, "validation": validation if folds is None else 1.0, "test": test}
    for name, rows_of in found.items():
        if wanted[name] > 0 and not len(rows_of):
            raise DataError("data.split", f"must leave rows in every part, but `{name}` gets none of {rows} rows")
    return found
