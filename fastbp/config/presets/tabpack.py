"""The presets `tabpack` and `tabpack-muon`: a pack of 64 random networks, and an ensemble of epochs of them.

The recipe of TabPack (Yandex Research, 2026), with waves of numbers: the second to the letter, the first with AdamW in
the place of Muon, whose steps take 5.7 times as long on two cores. docs/packs.md has what both cost and gave.
"""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known

MEMBERS = 64
WIDTH = 384
PATIENCE = 16  # epochs of a member
ROUNDS = 32  # epochs of the ensemble, and its size
EPOCHS = 1000  # no run gets there
WAVES = [7, 11, 15, 19, 23, 27, 31]  # beside the number itself


def tabpack(known: Known, optimizer: str = "adamw") -> dict[str, Any]:
    """64 networks of one to three layers of 384, each drawn by itself."""
    space: dict[str, Any] = {
        "trainer.optimizer.lr": {"log": [1e-4, 5e-3]},
        "trainer.optimizer.weight_decay": {"log": [1e-3, 1.0]},
        "network.hidden": {"width": WIDTH, "depth": {"int": [1, 3]}},
        "network.dropout": [0.0, {"uniform": [0.0, 0.5]}],
    }
    if optimizer == "muon":
        space["trainer.optimizer.muon_lr"] = {"log": [1e-3, 0.1]}
    waves = known.numbers + known.dates > 0
    if waves:
        space["network.embed_numbers.frequencies"] = list(WAVES)
        space["network.embed_numbers.sigma"] = {"log": [0.01, 10.0]}
    return {
        "data": {"scale": "noisy_quantile", "missing": "median", "encode": "one_hot"},
        "network": {"hidden": [WIDTH, WIDTH], "activation": "relu", "embed_numbers": "cosine" if waves else None},
        "trainer": {
            "epochs": EPOCHS,
            "batch_size": batch_of(known.rows),
            "optimizer": optimizer,
            "early_stopping": {"patience": PATIENCE},
        },
        "pack": {"members": MEMBERS, "online": {"size": ROUNDS, "patience": ROUNDS}, "space": space},
    }


PRESETS = [
    Preset(
        "tabpack", "A pack of 64 random networks, and an ensemble of epochs of them; minutes to an hour.", tabpack, True
    ),
    Preset(
        "tabpack-muon",
        "The same with Muon, as published; five times as long.",
        lambda known: tabpack(known, "muon"),
        pack=True,
    ),
]


def batch_of(rows: int) -> int:
    """Rows of a step for so many rows that train."""
    return 256 if rows < 32_000 else 512 if rows < 108_000 else 1024
