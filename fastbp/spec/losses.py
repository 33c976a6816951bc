"""Losses as specs: settings, checks of targets, and inputs of their kernels.

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
from fastbp.spec.elsewhere import KnownWords


@dataclass(frozen=True)
class Targets:
    """Targets as a kernel reads them.

    `weights` has ω of every row, `normalisers` the numbers whose sum is the divisor; None if all are 1. `parts` has the
    targets of each output, if there are several.
    """

    kernel: str
    array: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    normalisers: NDArray[np.float64] | None = None
    parts: tuple[Targets, ...] = ()


@dataclass(frozen=True)
class Loss(KnownWords):
    """Base of all losses.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over the rows: divided by the sum of their weights, or not. Averages over the outputs of a row stay averages in
        both cases, unlike in PyTorch.

    Attributes
    ----------
    tasks : tuple of str
        Kinds of targets: "classes", one per row; "labels", several of 0 and 1; or "numbers".
    metrics : tuple of str
        What metrics take its outputs as: "labels", "scores", "probabilities", or "numbers".
    formula : str
        The loss of one output z with target t, before `constants` and with a number a of `lines`, as text.
    outputs_per_target : int
        Output columns per target.
    limited : bool
        Whether the range of targets is limited.
    scaled : bool
        Whether numeric targets may be shifted and scaled.
    takes, contains : str
        The name of its outputs, and the layer it applies itself, with which the network must not end.
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
        """The arguments that recreate this loss."""
        return dict(self.__dict__)

    @property
    def parts(self) -> tuple[tuple[Loss, float], ...]:
        """The loss and weight of each output of the network."""
        return ((self, 1.0),)

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network whose outputs do not fit the settings."""

    @classmethod
    def predicted(cls, outputs: NDArray[Any]) -> NDArray[Any]:
        """Predicted numbers from outputs."""
        return outputs

    @classmethod
    def outputs_for(cls, numbers: NDArray[Any]) -> NDArray[Any]:
        """Outputs whose predicted numbers these are."""
        return numbers

    @classmethod
    def constant(cls, mean: NDArray[Any], variance: NDArray[Any]) -> NDArray[Any]:
        """Outputs of what says the same of every row, for targets of this mean and variance."""
        return mean

    @classmethod
    def deviations(cls, outputs: NDArray[Any]) -> NDArray[Any] | None:
        """Predicted standard deviations, if outputs have them."""
        return None

    def of_rows(self, z: Any, t: Any) -> Any:
        """The loss of each row, or terms to be summed over columns, of traced outputs and targets."""
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
        """Its name in files."""
        return self.kind

    @property
    def simple(self) -> bool:
        """Whether every row has weight 1 without a `sample_weight`."""
        return True

    def constants(self, outputs: int) -> tuple[float, float]:
        """`setting_1`, the factor of derivatives, and `setting_2`, the factor of a row's sum."""
        return 1.0 / outputs, 1.0 / outputs

    def lines(self, outputs: int) -> tuple[Any, Any]:
        """`gain` and `shifts`: a number for each output, if the kernel reads them."""
        return 0.0, 0.0

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        """Check and convert targets for the kernel."""
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


NEAR, FAR = 20, 1000  # exponents of 2: weights up to the first count as near one; the second limits the shift


def near_one(numbers: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights times a power of two that brings the largest near one, if it is not.

    A mean over rows does not change, to the bit, while ω ℓ and Σ ω might overflow or underflow without it.
    """
    exponent = int(np.frexp(weights.max())[1])
    return numbers if abs(exponent) <= NEAR else np.ldexp(numbers, -min(max(exponent, -FAR), FAR))


def number_or_numbers(where: str, value: Any, check: Any) -> float | tuple[float, ...]:
    """One number, or a tuple of them."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        number: float = check(where, value)
        return number
    if not len(value) or any(isinstance(v, Sequence | np.ndarray) and not isinstance(v, str) for v in value):
        raise ConfigTypeError(where, "must be a number or a list of numbers", f"`{brief(value)}`")
    return tuple(check(f"{where}[{i}]", v) for i, v in enumerate(value))


def fits(where: str, value: Any, outputs: int) -> None:
    if isinstance(value, tuple) and len(value) != outputs:
        raise ConfigError(where, f"must have one number for each of {outputs} outputs", f"`{len(value)}`")
