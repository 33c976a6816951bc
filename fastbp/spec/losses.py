"""Losses as specs: the settings of each, what its targets must be, and what its kernel reads.

The loss of a batch is Σ ω ℓ / Σ ω over its rows, ω their weights, or without the division where `reduction` is "sum".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.spec import arrays


@dataclass(frozen=True)
class Targets:
    """Targets as a kernel reads them.

    `weights` has an ω for every row, `normalisers` what their sum is taken over to divide by; None where all are 1.
    `parts` are those of each output, where there are several.
    """

    kernel: str
    array: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    normalisers: NDArray[np.float64] | None = None
    parts: tuple[Targets, ...] = ()


@dataclass(frozen=True)
class Loss:
    """What all losses have in common.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over the rows: divided by the sum of their weights, or not. What a row averages over its outputs it does in
        both cases, where PyTorch's "sum" adds them up.

    Attributes
    ----------
    tasks : tuple of str
        What targets it is for: "classes", of which each row has one, "labels", several yes or no, or "numbers".
    metrics : tuple of str
        What its outputs can be measured as: "labels", "scores", "probabilities", or "numbers".
    formula : str
        The loss of one output z with target t, before `constants` and with a number a of `lines`, as text.
    outputs_per_target : int
        Columns of the network's output for each of the targets.
    limited : bool
        Whether targets have limits of their own.
    scaled : bool
        Whether numbers for targets may be moved and scaled; those that cannot have a zero of their own.
    takes, contains : str
        What its outputs are, and the layer that it does itself, which the network must not end in.
    """

    kind: ClassVar[str] = ""
    of_labels: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("numbers",)
    metrics: ClassVar[tuple[str, ...]] = ("numbers",)
    formula: ClassVar[str] = ""
    outputs_per_target: ClassVar[int] = 1
    limited: ClassVar[bool] = False
    scaled: ClassVar[bool] = True
    takes: ClassVar[str] = "numbers"
    contains: ClassVar[str] = ""
    reduction: str = field(default="mean", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.reduction, str) or self.reduction not in ("mean", "sum"):
            raise not_one_of(f"{type(self).__name__}.reduction", self.reduction, ("mean", "sum"))

    def _check(self, name: str, check: Any, *limits: Any) -> None:
        checked = check(f"{type(self).__name__}.{name}", getattr(self, name), *limits)
        object.__setattr__(self, name, checked)

    def settings(self) -> dict[str, Any]:
        """The arguments that make this loss again."""
        return dict(self.__dict__)

    @property
    def parts(self) -> tuple[tuple[Loss, float], ...]:
        """The loss of each output of the network, and what it counts for."""
        return ((self, 1.0),)

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network whose outputs do not fit the settings."""

    @classmethod
    def predicted(cls, outputs: NDArray[Any]) -> NDArray[Any]:
        """The numbers that outputs stand for."""
        return outputs

    @classmethod
    def deviations(cls, outputs: NDArray[Any]) -> NDArray[Any] | None:
        """How far targets are expected from those, where outputs say so."""
        return None

    def of_rows(self, z: Any, t: Any) -> Any:
        """The loss of each row, or parts of it that are summed over columns, of traced outputs and targets."""
        from fastbp.autodiff.expression import parse

        outputs = z.shape[1]
        return self.constants(outputs)[1] * parse(self.formula, ("z", "t", "a"))(
            z, t, np.asarray(self.lines(outputs)[0])
        )

    @property
    def kernel(self) -> str:
        """The kernel of the loss with its gradient."""
        return self.kind

    @property
    def named(self) -> Any:
        """What a file calls it."""
        return self.kind

    @property
    def simple(self) -> bool:
        """Whether the targets alone decide what a row counts for, which is 1."""
        return True

    def constants(self, outputs: int) -> tuple[float, float]:
        """SETTING_1, what derivatives are multiplied with, and SETTING_2, what the sum of a row is."""
        return 1.0 / outputs, 1.0 / outputs

    def lines(self, outputs: int) -> tuple[Any, Any]:
        """GAIN and SHIFTS: a number for each output, where the kernel reads such."""
        return 0.0, 0.0

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Check targets and bring them into the form that the kernel reads."""
        return Targets(self.kernel, arrays.targets(name, value, rows, outputs, dtype))

    def targets(
        self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any], sample_weight: Any = None
    ) -> Targets:
        """Check targets and the weights of their rows."""
        self.check_outputs(outputs)
        found = self.encode(name, value, rows, outputs, dtype)
        of_loss, below = found.weights, found.normalisers
        mean = self.reduction == "mean"
        if sample_weight is not None:
            weights = arrays.weights("sample_weight", sample_weight, rows)
            if mean:
                weights = near_one(weights, weights)
            of_loss = weights if of_loss is None else weights * of_loss
            below = weights if below is None else weights * below
        if mean and of_loss is not None and below is not None:
            of_loss, below = near_one(of_loss, below), near_one(below, below)
        return Targets(found.kernel, found.array, of_loss, below)


@dataclass(frozen=True)
class Dot(Loss):
    """The product with a cotangent, Σ_n z_n u_n: its gradients are the parameters' vjp."""

    kind: ClassVar[str] = "dot"
    formula: ClassVar[str] = "z * t"

    def constants(self, outputs: int) -> tuple[float, float]:
        return 1.0, 1.0


NEAR, FAR = 20, 1000  # exponents of 2: a weight is near one up to the first, and moved by the second at most


def near_one(numbers: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers times the power of two that brings the largest of these weights near one, if it is not.

    A mean over rows does not feel it, not in its last bit, while ω ℓ and Σ ω without it might leave the reals.
    """
    exponent = int(np.frexp(weights.max())[1])
    return numbers if abs(exponent) <= NEAR else np.ldexp(numbers, -min(max(exponent, -FAR), FAR))


def number_or_numbers(where: str, value: Any, check: Any) -> float | tuple[float, ...]:
    """One number, or a tuple of them."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        number: float = check(where, value)
        return number
    if not len(value) or any(isinstance(v, Sequence | np.ndarray) and not isinstance(v, str) for v in value):
        raise ConfigTypeError(f"`{where}` must be a number or a list of numbers, got `{brief(value)}`")
    return tuple(check(f"{where}[{i}]", v) for i, v in enumerate(value))


def fits(where: str, value: Any, outputs: int) -> None:
    if isinstance(value, tuple) and len(value) != outputs:
        raise ConfigError(f"`{where}` must have one number for each of {outputs} outputs, got `{len(value)}`")
