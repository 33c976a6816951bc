"""The preset `plain`: an ordinary network, as large and as long in training as the rows allow."""

from __future__ import annotations

import math
from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known

BINS_ROWS = 1000  # that train, below which bins are learned by heart
BENT = 0.005  # of the target, that bins of a column tell of it more than a straight line, from which they are worth it
LEAST = 30  # rows of bins beside values that many rows share
SHARED = 0.01  # of the target, that such bins tell more, from which they are worth it
MOST_BINS = 2000  # of all columns of numbers
STEPS = 2500  # of the optimiser, in a run
METRICS = {  # of a task, or of two classes, and what they are for
    "two": (("roc_auc", "balanced_accuracy"), "ranking, whatever the threshold; and both classes alike, however rare"),
    "classes": (("accuracy", "balanced_accuracy"), "of all rows, and of all classes alike, however rare"),
    "labels": (("accuracy", "roc_auc"), "of each label, at one half, and ranking, whatever the threshold"),
    "numbers": (("rmse", "r2"), "in the units of the target, and as a share of its variance"),
}


def plain(known: Known) -> dict[str, Any]:
    """Two hidden layers, bins of numbers where they tell more than a line, and about 2,500 steps of AdamW."""
    rows, batch = known.rows, batch_of(known.rows)
    width, bins = width_of(rows), bins_for(known)
    return {
        "data": {"encode": "auto"},
        "network": {
            "hidden": [width, width],
            "activation": "relu",
            "dropout": dropout_for(known, bins),
            "embed_numbers": embedded(known, bins) if bins else None,
        },
        "trainer": {
            "epochs": epochs_of(rows, batch),
            "batch_size": batch,
            "optimizer": {"name": "adamw", "lr": rate_of(batch), "weight_decay": decay_of(known.task)},
            "schedule": "cos_log4",
            "metrics": list(metrics_of(known)[0]),
        },
    }


PRESETS = [Preset("plain", "Two hidden layers and bins of numbers, sized by the rows; seconds.", plain, names=True)]


def metrics_of(known: Known) -> tuple[tuple[str, ...], str]:
    """What is measured after each epoch, and what for."""
    return METRICS["two" if known.task == "classes" and known.outputs <= 2 else known.task]


def bins_for(known: Known) -> int:
    """Bins of each column of numbers, or 0 where they are not worth it."""
    bins = bins_of(known.rows, known.numbers, known.task) if known.bent is not None else 0
    worth = bins and (known.bent or 0.0) + max(0.0, finer(known, bins) - SHARED) >= BENT
    return bins if worth else 0


def embedded(known: Known, bins: int) -> dict[str, Any]:
    """So many bins, and finer ones beside values that many rows share, where these tell more."""
    found = {"name": "piecewise_linear", "bins": bins}
    return {**found, "least": LEAST} if finer(known, bins) >= SHARED else found


def finer(known: Known, bins: int) -> float:
    """The share of the target that finer bins beside values that many rows share tell more."""
    return known.told(bins, LEAST) - known.told(bins)


def dropout_for(known: Known, bins: int) -> float:
    """Dropout beside so many bins: classes are learned by heart by them, too; numbers want the finest, and no more."""
    return dropout_of(known.rows, known.inputs + (known.numbers * bins if known.task != "numbers" else 0))


def bins_of(rows: int, numbers: int, task: str) -> int:
    """Bins of each column of numbers, with so many rows that train that they tell something; 0 where rows are few, or
    columns many.

    A class says less of its row than a number does, so it takes more of them.
    """
    if rows < BINS_ROWS:
        return 0
    bins = min(48, max(4, rows // (250 if task == "numbers" else 1000)), MOST_BINS // max(1, numbers))
    return bins if bins >= 4 else 0


def width_of(rows: int) -> int:
    """Width of the two hidden layers for so many rows that train."""
    return 32 if rows < 1000 else 64 if rows < 5000 else 128 if rows < 50_000 else 256


def dropout_of(rows: int, inputs: int) -> float:
    """Dropout for so many rows that train and columns that the network takes: more where rows are few for them."""
    each = rows / max(1, inputs)
    return 0.2 if each < 50 else 0.1 if rows < 100_000 else 0.0


def batch_of(rows: int) -> int:
    """Rows of a step: about a hundred steps in an epoch, within what learns well."""
    return min(1024, max(32, int(2 ** round(math.log2(max(rows, 1) / 60)))))


def rate_of(batch: int) -> float:
    """Learning rate of AdamW, in proportion to the root of the batch: larger batches have less noise."""
    return min(0.005, float(f"{0.003 * math.sqrt(batch / 256):.1g}"))


def decay_of(task: str) -> float:
    """Decay of weights: classes are learned by heart sooner."""
    return 0.05 if task == "numbers" else 0.2


def epochs_of(rows: int, batch: int) -> int:
    """Epochs that make `STEPS` steps."""
    return min(200, max(20, math.ceil(STEPS / max(1, rows // batch) / 10) * 10))
