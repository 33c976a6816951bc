"""The preset `standard`: members that share an MLP over functions of bins of numbers, for a training of up to a minute.

It is TabM-mini (Gorishniy et al., 2025) at a twentieth of its size or less, with the preparation, steps and schedule of
`plain`, which settle sooner than patience does.
"""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known
from fastbp.config.presets.plain import MOST_BINS, batch_of, bins_for, embedded, epochs_of, plain

MEMBERS = (8, 4)  # the most whose training is within the budget
BINS, FEATURES = 16, 16  # of each column of numbers: at least so many bins, at most so many functions of them
MOST_FEATURES = 1024  # of all columns of numbers
LEAST_FEATURES = 4  # of a column, below which its bins go into the first layer as they are
FEW, MANY = 1_000, 10_000  # rows that train, below and from which networks differ
LONGER = {"numbers": 4, "classes": 3}  # times as many epochs as `plain` has, where rows are not many
BUDGET = 1e13  # multiplications and additions of a training, half a minute to a minute on two cores


def standard(known: Known) -> dict[str, Any]:
    """What `plain` is, for members that differ in a scale of what the first layer reads."""
    keys = plain(known)
    keys["trainer"]["epochs"] = epochs(known)
    network = keys["network"]
    network |= {"activation": activation(known), "embed_numbers": functions(known)}
    members, width = size(known)
    if members:
        network |= {"hidden": [width, width], "tabm": {"k": members, "mini": True}}
    return keys


def epochs(known: Known) -> int:
    """Steps are cheap where rows are few, and numbers and several classes are told better by more of them.

    Two classes are rather learned by heart.
    """
    found = epochs_of(known.rows, batch_of(known.rows))
    few = known.rows < MANY and (known.task == "numbers" or (known.task == "classes" and known.outputs > 2))
    return LONGER[known.task] * found if few else found


def functions(known: Known) -> dict[str, Any] | None:
    """Functions of bins of each column of numbers, where bins are worth it."""
    bins = bins_for(known)
    if not bins:
        return None
    bins = max(bins, min(BINS, MOST_BINS // known.numbers))
    features = min(FEATURES, MOST_FEATURES // known.numbers)
    found = embedded(known, bins)
    return {**found, "features": features} if features >= LEAST_FEATURES else found


def activation(known: Known) -> str:
    """A smooth one tells classes apart better where rows are few; numbers want their bends."""
    return "silu" if known.task != "numbers" and known.rows < MANY else "relu"


def size(known: Known) -> tuple[int, int]:
    """How many members, 0 where rows or columns are too many for them, and the width of their hidden layers.

    Numbers profit from wider layers, classes are learned by heart by them.
    """
    wide = 64 if known.rows < FEW else 256 if known.task == "numbers" else 128
    for members in MEMBERS:
        for width in (wide, wide // 2):
            if work(known, members, width) <= BUDGET:
                return members, width
    return 0, 0


def work(known: Known, members: int, width: int) -> float:
    """Multiplications and additions of a training: products forward, of cotangents, and of gradients of weights."""
    embed = functions(known) or {}
    each: int = embed.get("features", embed.get("bins", 1))
    inputs = known.inputs - known.numbers + known.numbers * each
    weights = width * (inputs + width + known.outputs)
    return 6.0 * members * weights * known.rows * epochs(known)


PRESETS = [
    Preset(
        "standard",
        "8 members that share two hidden layers over functions of bins of numbers; up to a minute.",
        standard,
        names=True,
    )
]
