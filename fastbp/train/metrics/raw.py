"""What the raw outputs of a network say, by its loss: classes, probabilities, numbers, and the targets beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp.errors import ShapeError
from fastbp.spec.arrays import as_array
from fastbp.spec.catalogue import facts_of
from fastbp.spec.losses import Loss, near_one
from fastbp.train.metrics import inputs
from fastbp.train.metrics.inputs import Array


def read_outputs(outputs: Any, loss: str | Loss, sample_weight: Any) -> tuple[Array, Array | None, bool]:
    """Outputs as (rows, K) of float64, weights, and whether a row has several labels."""
    z = inputs.read_numbers("outputs", outputs).astype(np.float64)
    if z.ndim == 1:
        z = z[:, None]
    w = inputs.read_weights(sample_weight, len(z))
    return z, None if w is None else near_one(w, w), "labels" in facts_of(loss).tasks and z.shape[1] > 1


def numbers_of(z: Array, y: Any, loss: str | Loss) -> tuple[Array, Array]:
    """Targets and predictions."""
    facts = facts_of(loss)
    if z.shape[1] % facts.outputs_per_target:
        count = facts.outputs_per_target
        wanted = "an even number of columns, the first half of them means" if count == 2 else f"{count} for each target"
        raise ShapeError("outputs", f"must have {wanted}", f"`{z.shape}`")
    found = facts.predicted(z)
    if found is not z and found.shape == z.shape:
        inputs.require("outputs", z, np.isfinite(found), "have a finite exponential")
    z = found
    t = inputs.read_numbers("y", y)
    if t.shape != z.shape and not (z.shape[1] == 1 and t.shape == (len(z),)):
        raise ShapeError("y", f"must have shape `{z.shape}`", f"`{t.shape}`")
    return t, z


def labels_of(y: Any, z: Array, several: bool) -> Array:
    """Zeros and ones, one for each output, or a class for each row."""
    t = inputs.read_labels("y", as_array("y", y), several)
    inputs.require_shape("y", t, z.shape if several else z.shape[:1])
    if not several:
        top = max(z.shape[1], 2) - 1
        inputs.require("y", t, (t >= 0) & (t <= top), f"be between 0 and {top}, the network's classes")
    return t


def two_columns(z: Array) -> Array:
    """A single column of logits z as the two columns 0, z; more columns as they are."""
    return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z


def label_columns(z: Array) -> Array:
    """Every element z of (rows, labels) as a row of its own, 0, z."""
    return np.stack([np.zeros(z.size), z.ravel()], axis=1)
