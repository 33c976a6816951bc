"""The presets `tabm-mini` and `tabm`: 32 members that share an MLP (Gorishniy et al., 2025), as its authors set them.

Numbers are scaled to levels of a normal distribution and, for `tabm-mini`, become functions of their bins. A step takes
more rows where there are more; training ends 16 epochs after the best.
"""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known
from fastbp.config.presets.plain import metrics_of

MEMBERS, WIDTH, DROPOUT = 32, 512, 0.1
BINS, FEATURES = 48, 16  # of each column of numbers
RATE, DECAY, PATIENCE, EPOCHS = 2e-3, 3e-4, 16, 1000
BATCHES = ((2_800, 32), (4_500, 64), (6_400, 128), (32_000, 256), (108_000, 512))  # below so many rows that train


def mini(known: Known) -> dict[str, Any]:
    """Members that differ in a scale of what numbers have become, in front of two hidden layers."""
    bins = min(BINS, known.rows - 1)
    embedded = {"name": "piecewise_linear", "bins": bins, "features": FEATURES} if known.numbers and bins > 1 else None
    return _keys(known, embedded, 2 if embedded else 3, mini=True)


def tabm(known: Known) -> dict[str, Any]:
    """Members with adapters in each of three hidden layers; numbers are as they are scaled."""
    return _keys(known, None, 3, mini=False)


def batch_of(rows: int) -> int:
    """Rows of a step."""
    return next((size for below, size in BATCHES if rows < below), 1024)


def _keys(known: Known, embedded: Any, blocks: int, *, mini: bool) -> dict[str, Any]:
    measure = "rmse" if known.task == "numbers" else "accuracy"  # of what members predict together
    return {
        "data": {"scale": "noisy_quantile", "encode": "one_hot"},
        "network": {
            "hidden": [WIDTH] * blocks,
            "activation": "relu",
            "dropout": DROPOUT,
            "embed_numbers": embedded,
            "tabm": {"k": MEMBERS, "mini": mini},
        },
        "trainer": {
            "epochs": EPOCHS,
            "batch_size": batch_of(known.rows),
            "optimizer": {"name": "adamw", "lr": RATE, "weight_decay": DECAY},
            "metrics": list(dict.fromkeys([measure, *metrics_of(known)[0]])),
            "monitor": f"val_{measure}",
            "early_stopping": {"patience": PATIENCE},
        },
    }


PRESETS = [
    Preset("tabm-mini", "32 members that share an MLP over functions of bins of numbers; minutes.", mini),
    Preset("tabm", "32 members that share an MLP, with adapters of each in every layer; minutes.", tabm),
]
