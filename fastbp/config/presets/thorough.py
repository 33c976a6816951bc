"""The preset `thorough`: `standard` and networks like it, each on every fold, and an ensemble of the best."""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known
from fastbp.config.presets.standard import standard

MEMBERS = 8
FOLDS = 5


def thorough(known: Known) -> dict[str, Any]:
    """`standard`, and networks around it, in what tables differ: rates, decay, dropout, sizes, and how fine bins are.

    Half of the draws of each key are what `standard` has.
    """
    keys = standard(known)
    network, optimizer = keys["network"], keys["trainer"]["optimizer"]
    (width, _), lr, decay, drop = network["hidden"], optimizer["lr"], optimizer["weight_decay"], network["dropout"]
    space: dict[str, Any] = {
        "trainer.optimizer.lr": _around(lr, float(f"{lr / 2:.2g}"), float(f"{lr / 4:.2g}")),
        "trainer.optimizer.weight_decay": _around(decay, 0.05 if decay > 0.05 else 0.2, 0.5),
        "trainer.ema": _around(None, 0.99),
        "network.dropout": _around(drop, round(drop / 2, 3), round(drop + 0.1, 3)),
        "network.hidden": _around([width, width], [2 * width, 2 * width], [width], [width] * 3),
    }
    if network["embed_numbers"] is not None:
        bins = network["embed_numbers"]["bins"]
        space["network.embed_numbers.bins"] = _around(bins, max(2, bins // 2), 2 * bins)
    return {**keys, "pack": {"members": MEMBERS, "folds": FOLDS, "undrawn": 1, "space": space}}


def _around(value: Any, *others: Any) -> list[Any]:
    """A list of which half is the value."""
    return [*(value for _ in others), *others]


PRESETS = [
    Preset(
        "thorough",
        "Standard and 7 networks around it on five folds, and the ensemble of the best; a time limit ends it sooner.",
        thorough,
        pack=True,
        names=True,
    )
]
