"""The preset `thorough`: many networks like `plain`, each on every fold of the rows, and an ensemble of the best."""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known
from fastbp.config.presets.plain import plain

MEMBERS = 16
FOLDS = 5
RATES = 0.25, 1.5  # of that of `plain`
MOST_MORE = 0.2  # dropout above that of `plain`


def thorough(known: Known) -> dict[str, Any]:
    """Members around `plain`, in what tables differ: rates, decay, dropout, sizes, and how fine bins are."""
    keys = plain(known)
    network, optimizer = keys["network"], keys["trainer"]["optimizer"]
    (width, _), embedded = network["hidden"], network["embed_numbers"]
    space: dict[str, Any] = {
        "trainer.optimizer.lr": {"log": [float(f"{optimizer['lr'] * by:.2g}") for by in RATES]},
        "trainer.optimizer.weight_decay": {"log": [0.02, 0.5]},
        "trainer.ema": [None, 0.99],
        "network.dropout": {"uniform": [0.0, round(network["dropout"] + MOST_MORE, 2)]},
        "network.hidden": {"width": [width // 2, width, 2 * width], "depth": {"int": [1, 3]}},
    }
    if embedded is not None:
        bins = embedded["bins"]
        space["network.embed_numbers.bins"] = [max(2, bins // 2), bins, 2 * bins]
    return {**keys, "pack": {"members": MEMBERS, "folds": FOLDS, "space": space}}


PRESETS = [
    Preset(
        "thorough",
        "Sixteen networks around plain on five folds each, and the ensemble of the best; a time limit ends it sooner.",
        thorough,
    )
]
