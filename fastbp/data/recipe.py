"""From raw tables to what a network takes, and from what it gives to predictions: stored in the network's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.data.outputs import Outputs

Array = NDArray[Any]


@dataclass
class Recipe:
    """What was learned from the training rows, and the loss, which says what outputs mean."""

    inputs: Inputs
    outputs: Outputs
    loss: str
    weight: str | None = None

    def matrix(self, frame: Frame, dtype: Any) -> Array:
        """Rows of a raw table as the network takes them."""
        return self.inputs.matrix(frame, dtype)

    def predictions(self, raw: Array, probabilities: bool = False) -> dict[str, Array]:
        """Columns of predictions from a network's outputs."""
        outputs = self.outputs
        if outputs.task == "classes":
            name = outputs.columns[0]
            if raw.shape[1] == 1:  # one logit for two classes
                raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
            found = {name: np.array(outputs.names, object)[raw.argmax(axis=1)]}
            if probabilities:
                z = raw - raw.max(axis=1, keepdims=True)
                p = np.exp(z)
                p /= p.sum(axis=1, keepdims=True)
                found |= {f"{name} = {label}": p[:, i] for i, label in enumerate(outputs.names)}
            return found
        if outputs.task == "labels":
            found = {name: (raw[:, i] > 0).astype(np.int64) for i, name in enumerate(outputs.names)}
            if probabilities:
                found |= {
                    f"{name} probability": np.exp(-np.logaddexp(0.0, -raw[:, i], dtype=raw.dtype))
                    for i, name in enumerate(outputs.names)
                }
            return found
        if self.loss == "poisson":
            return {name: np.exp(raw[:, i]) for i, name in enumerate(outputs.names)}
        if self.loss == "gaussian_nll":
            half = raw.shape[1] // 2
            means = outputs.unscaled(raw[:, :half])
            deviations = np.exp(0.5 * raw[:, half:]).astype(means.dtype) * outputs.spread.astype(means.dtype)
            found = {name: means[:, i] for i, name in enumerate(outputs.names)}
            return found | {f"{name} deviation": deviations[:, i] for i, name in enumerate(outputs.names)}
        numbers = outputs.unscaled(raw)
        return {name: numbers[:, i] for i, name in enumerate(outputs.names)}

    def to_data(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs.to_data(),
            "outputs": self.outputs.to_data(),
            "loss": self.loss,
            "weight": self.weight,
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Recipe:
        return cls(Inputs.from_data(data["inputs"]), Outputs.from_data(data["outputs"]), data["loss"], data["weight"])
