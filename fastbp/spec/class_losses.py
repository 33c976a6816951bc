"""Losses of classes: cross-entropies and the hinge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, DataError, brief
from fastbp.spec import arrays
from fastbp.spec.checks import between, positive, real, whole
from fastbp.spec.losses import Loss, Targets, fits, number_or_numbers


def log_sum_exp(z: Any) -> Any:
    """log Σ exp z of each row of traced values, as a column."""
    top = np.max(z, axis=1, keepdims=True)
    return top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))


def _class_weights(where: str, value: Any) -> tuple[tuple[int, float], ...] | None:
    """Pairs of class and weight, in order."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        # keys of a file are strings
        keys = [int(k) if isinstance(k, str) and k.isdecimal() else k for k in value]
        pairs = list(zip(keys, value.values(), strict=True))
    elif isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        listed = [v if isinstance(v, tuple) and len(v) == 2 else (i, v) for i, v in enumerate(value)]
        pairs = list(listed)
    else:
        raise ConfigTypeError(where, "must be a list of numbers or a dict of class to number", f"`{brief(value)}`")
    out: list[tuple[int, float]] = []
    for key, weight in pairs:
        number = real(f"{where}[{key}]", weight)
        if number < 0.0:
            raise ConfigError(f"{where}[{key}]", "must be at least 0", f"`{number}`")
        label = whole(where, key, 0)
        if label in dict(out):
            raise ConfigError(where, "must name a class once", f"`{label}` twice")
        out.append((label, number))
    return tuple(sorted(out))


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Softmax and cross-entropy of classes: ℓ = log Σ_k exp(z_k) - z_y, or Σ_k t_k (log Σ exp(z) - z_k).

    Targets are class numbers, shape (rows,), or probabilities, shape (rows, classes).

    Parameters
    ----------
    label_smoothing : float, 0 <= ε <= 1
        The target becomes (1 - ε) t + ε / K.
    class_weights : list of K numbers, or dict of class to number, optional
        Weights of classes; classes missing in a dict have weight 1. The mean is divided by the sum of the rows'
        weights, as in PyTorch; for targets that are probabilities, by the number of rows.
    ignore_index : int, optional
        Rows with this label are ignored.
    reduction : {"mean", "sum"}
    """

    kind: ClassVar[str] = "cross_entropy"
    of_labels: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("classes",)
    metrics: ClassVar[tuple[str, ...]] = ("labels", "scores", "probabilities")
    takes: ClassVar[str] = "scores"
    contains: ClassVar[str] = "softmax"
    label_smoothing: float = 0.0
    class_weights: Any = None
    ignore_index: int | None = None
    _listed: ClassVar[bool] = False  # whether weights were given as a list

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("label_smoothing", between, 0.0, 1.0)
        given = self.class_weights
        listed = isinstance(given, Sequence | np.ndarray) and not all(isinstance(v, tuple) for v in given)
        object.__setattr__(self, "_listed", listed)
        self._check("class_weights", _class_weights)
        if self.class_weights is not None and not any(weight for _, weight in self.class_weights):
            raise ConfigError("CrossEntropy.class_weights", "must have one above 0")
        if self.ignore_index is not None:
            self._check("ignore_index", whole, -(2**63))

    def settings(self) -> dict[str, Any]:
        out = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.class_weights is not None:
            out["class_weights"] = {str(k): v for k, v in self.class_weights}
        return out

    def check_outputs(self, outputs: int) -> None:
        for label, _ in self.class_weights or ():
            if label >= outputs:
                raise ConfigError(
                    "CrossEntropy.class_weights",
                    f"must name classes below {outputs}, the network's outputs",
                    f"`{label}`",
                )
        if self._listed and len(self.class_weights) != outputs:
            raise ConfigError(
                "CrossEntropy.class_weights",
                f"must have one number for each of {outputs} outputs",
                f"`{len(self.class_weights)}`",
            )

    @property
    def simple(self) -> bool:
        return self.class_weights is None and self.ignore_index is None and self.label_smoothing == 0.0

    def constants(self, outputs: int) -> tuple[float, float]:
        return 0.0, 0.0  # unused by the kernels

    def of_rows(self, z: Any, t: Any) -> Any:
        return t * (log_sum_exp(z) - z)

    def _of_classes(self, outputs: int) -> NDArray[np.float64]:
        weights = np.ones(outputs)
        for label, weight in self.class_weights or ():
            weights[label] = weight
        return weights

    def lines(self, outputs: int) -> tuple[Any, Any]:
        weights = self._of_classes(outputs)
        return weights * (1.0 - self.label_smoothing), weights * (self.label_smoothing / outputs)

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        array = arrays.as_array(name, value)
        if array.shape == (rows, outputs) and outputs > 1:
            return Targets("cross_entropy_probabilities", self._probabilities(name, value, rows, outputs, dtype))
        weights = None
        if self.ignore_index is not None:
            ignored = array == self.ignore_index
            if ignored.any():
                if ignored.all():
                    raise DataError(name, f"must have a row that is not `ignore_index`, {self.ignore_index}")
                value = np.where(ignored, 0, array)
                weights = (~ignored).astype(np.float64).reshape(-1)
        labels = arrays.labels(name, value, rows, outputs, dtype)
        below = weights
        if self.class_weights is not None:
            of_rows = self._of_classes(outputs)[labels]
            below = of_rows if weights is None else weights * of_rows
            if not self.label_smoothing:
                weights = below
        kernel = "cross_entropy_smoothed" if self.label_smoothing else "cross_entropy"
        if below is None:
            return Targets(kernel, labels)
        return Targets(kernel, labels, np.ones(rows) if weights is None else weights, below)

    def _probabilities(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        array = arrays.targets(name, value, rows, outputs, dtype)
        sums = array.sum(axis=1, dtype=np.float64)
        wrong = (array < 0).any(axis=1) | (np.abs(sums - 1.0) > 1e-3)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DataError(name, "must be probabilities that add up to 1", f"`{array[at].tolist()}` at `[{at}]`")
        return array


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Sigmoid and binary cross-entropy for each output, averaged over outputs; z are logits.

    Targets are numbers from 0 to 1, shape (rows, outputs), or (rows,) for one output.

    Parameters
    ----------
    pos_weight : float or list of floats, > 0
        Weight of positive targets, relative to negative ones; one number, or one for each output.
    reduction : {"mean", "sum"}
    """

    kind: ClassVar[str] = "binary_cross_entropy"
    tasks: ClassVar[tuple[str, ...]] = ("labels",)
    metrics: ClassVar[tuple[str, ...]] = ("labels", "scores", "probabilities")
    formula: ClassVar[str] = "(1 - t) * z + (1 + (a - 1) * t) * softplus(-z)"
    limited: ClassVar[bool] = True
    takes: ClassVar[str] = "logits"
    contains: ClassVar[str] = "sigmoid"
    pos_weight: Any = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("pos_weight", number_or_numbers, positive)

    def check_outputs(self, outputs: int) -> None:
        fits("BinaryCrossEntropy.pos_weight", self.pos_weight, outputs)

    def lines(self, outputs: int) -> tuple[Any, Any]:
        return self.pos_weight, 0.0

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        array = arrays.targets(name, value, rows, outputs, dtype)
        return Targets(self.kind, arrays.within(name, array, 0.0, 1.0))


@dataclass(frozen=True)
class MultiMargin(Loss):
    """Hinge of classes: the right score should be above every other by a margin, Σ_{k≠y} max(0, μ - z_y + z_k)ᵉ / K.

    Parameters
    ----------
    p : {1, 2}
        e.
    margin : float, > 0
        μ.
    reduction : {"mean", "sum"}
    """

    kind: ClassVar[str] = "multi_margin"
    of_labels: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("classes",)
    metrics: ClassVar[tuple[str, ...]] = ("labels", "scores")  # scores are not log probabilities
    p: int = 1
    margin: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("p", whole, 1)
        if self.p > 2:
            raise ConfigError("MultiMargin.p", "must be 1 or 2", f"`{self.p}`")
        self._check("margin", positive)

    def constants(self, outputs: int) -> tuple[float, float]:
        return self.margin, float(self.p == 2)

    def of_rows(self, z: Any, t: Any) -> Any:
        above = np.maximum(self.margin - (z * t).sum(axis=1, keepdims=True) + z, 0.0) * (1.0 - t)
        return (above if self.p == 1 else above * above) * (1.0 / z.shape[1])

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        return Targets(self.kind, arrays.labels(name, value, rows, outputs, dtype))
