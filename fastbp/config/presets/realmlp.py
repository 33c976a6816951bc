"""The presets `realmlp-td` and `realmlp-td-s`: RealMLP by its default parameters, and its simple version.

Holzmüller, Grinsztajn and Steinwart (2024), "Better by default". Adam, 256 epochs of batches of 256 rows, a rate that
goes up and down four times, and the network of the best epoch on held-out rows, of equally good ones the last.

Weight decay is that of the authors' program, in which the factor f of a learning rate counts twice: p ← p (1 - η f² λ).
A trainer's own is p ← p (1 - η f λ d), with d = f here.
"""

from __future__ import annotations

from typing import Any

from fastbp.config.presets import Preset
from fastbp.config.presets.known import Known

HIDDEN = [256, 256, 256]
EPOCHS = BATCH = 256
BETAS = [0.9, 0.95]
SMOOTHING = 0.1
BIAS, SCALE, SMALL = 0.1, 6.0, 0.1  # factors of learning rates; the last of activations and of the embedding of numbers
ONE_HOT, TABLE = 8, 8  # categories that are columns at most; numbers in a row of a table
MEASURES = {"classes": ["accuracy"], "numbers": ["rmse", "r2"], "labels": ["accuracy"]}  # the first chooses the epoch


def shared(known: Known) -> dict[str, Any]:
    """What both have."""
    metrics = MEASURES[known.task]
    loss = {"loss": {"name": "cross_entropy", "label_smoothing": SMOOTHING}} if known.task == "classes" else {}
    return {
        "data": {"scale": "robust", "scale_categories": "robust", "indicator": True, "encode": "one_hot"},
        "network": {"hidden": HIDDEN, "front_scale": True, "ntk": True},
        "trainer": {
            "epochs": EPOCHS,
            "batch_size": max(1, min(BATCH, known.rows)),
            "drop_last": True,
            "schedule": "cos_log4",
            "metrics": metrics,
            "monitor": f"val_{metrics[0]}",
            "ties": "last",
            **loss,
        },
    }


def simple(known: Known) -> dict[str, Any]:
    """Normal weights, no dropout, no decay, no embeddings; the last layer begins with zeros."""
    found, numbers = shared(known), known.task == "numbers"
    found["network"] |= {
        "activation": "mish" if numbers else "selu",
        "init": "normal",
        "bias_init": "normal",
        "last_init": "zeros",
    }
    found["trainer"] |= {
        "optimizer": {"name": "adam", "lr": 0.07 if numbers else 0.04, "betas": BETAS},
        "lr_factors": {"linear.bias": BIAS, "scale": SCALE},
    }
    return found


def full(known: Known) -> dict[str, Any]:
    """Numbers as waves, tables of categories, parametric activations, parameters by the rows, dropout and decay."""
    found, numbers = shared(known), known.task == "numbers"
    waves = {"pbld": SMALL} if known.numbers + known.dates else {}
    found["data"] |= {
        "encode": "auto",
        "most_one_hot": ONE_HOT,
        "embed_size": TABLE,
        "embed_std": 1.0,
        "clamp_target": numbers,
    }
    found["network"] |= {
        "activation": {"name": "parametric", "activation": "mish" if numbers else "selu"},
        "dropout": 0.15,
        "embed_numbers": "pbld" if waves else None,
        "init": "std",
        "bias_init": "he5",
    }
    down = {"name": "flat_cosine", "flat": 0.5}
    factors = {"scale": SCALE, "parametric": SMALL, **waves}
    rate = 0.2 if numbers else 0.04
    found["trainer"] |= {
        "optimizer": {"name": "adamw", "lr": rate, "betas": BETAS, "weight_decay": 0.02},
        "schedules": {"dropout": down, "weight_decay": down},
        "lr_factors": {"linear.bias": BIAS, **factors},
        "decay_factors": factors,
    }
    return found


PRESETS = [
    Preset("realmlp-td", "RealMLP by its defaults: 3 layers of 256, 256 epochs, numbers as waves; minutes.", full),
    Preset("realmlp-td-s", "RealMLP's simple version: 3 layers of 256, 256 epochs; minutes.", simple),
]
