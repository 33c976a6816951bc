"""Losses of numbers: regression, quantiles, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError
from fastbp.numerics.exact import exp, log
from fastbp.spec import arrays
from fastbp.spec.checks import positive, real
from fastbp.spec.losses import Loss, Targets, fits, number_or_numbers


@dataclass(frozen=True)
class MSE(Loss):
    """Squared error, averaged over outputs: ℓ = Σ_n (z_n - t_n)² / N."""

    kind: ClassVar[str] = "mse"
    formula: ClassVar[str] = "(z - t) ** 2"

    def constants(self, outputs: int) -> tuple[float, float]:
        inverse = 1.0 / outputs
        return 2.0 * inverse, inverse


@dataclass(frozen=True)
class HalfMSE(Loss):
    """Half the squared distance, the literature's ½ ‖t - z‖²: summed over outputs, so that dz is z - t."""

    kind: ClassVar[str] = "half_mse"
    formula: ClassVar[str] = "(z - t) ** 2"

    def constants(self, outputs: int) -> tuple[float, float]:
        return 1.0, 0.5


@dataclass(frozen=True)
class MAE(Loss):
    """Absolute error, averaged over outputs: ℓ = Σ_n |z_n - t_n| / N."""

    kind: ClassVar[str] = "mae"
    formula: ClassVar[str] = "abs(z - t)"


@dataclass(frozen=True)
class Huber(Loss):
    """Squared near the target, absolute far from it: e²/2 up to δ, then δ (|e| - δ/2) (Huber, 1964).

    Parameters
    ----------
    delta : float, > 0
    reduction : {"mean", "sum"}
    """

    kind: ClassVar[str] = "huber"
    formula: ClassVar[str] = "where(abs(z - t) > a, a * (abs(z - t) - 0.5 * a), 0.5 * (z - t) ** 2)"
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("delta", positive)

    def lines(self, outputs: int) -> tuple[Any, Any]:
        return self.delta, 0.0


def _quantile(where: str, value: Any) -> float:
    number = real(where, value)
    if not 0.0 < number < 1.0:
        raise ConfigError(where, "must be above 0 and below 1", f"`{number}`")
    return number


@dataclass(frozen=True)
class Quantile(Loss):
    """Pinball loss, whose best constant is the q-quantile: q (t - z) above z, (1 - q) (z - t) below it.

    Parameters
    ----------
    q : float or list of floats, 0 < q < 1
        One number, or one for each output.
    reduction : {"mean", "sum"}
    """

    kind: ClassVar[str] = "quantile"
    formula: ClassVar[str] = "maximum(a * (t - z), (a - 1) * (t - z))"
    q: Any = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("q", number_or_numbers, _quantile)

    def check_outputs(self, outputs: int) -> None:
        fits("Quantile.q", self.q, outputs)

    def lines(self, outputs: int) -> tuple[Any, Any]:
        return self.q, 0.0


@dataclass(frozen=True)
class LogCosh(Loss):
    """Smooth between squared and absolute: ℓ = Σ_n log cosh(z_n - t_n) / N."""

    kind: ClassVar[str] = "log_cosh"
    formula: ClassVar[str] = "abs(z - t) + log1p(exp(-2 * abs(z - t))) - log(2)"


@dataclass(frozen=True)
class Poisson(Loss):
    """Counts: exp(z) is the expected number, ℓ = Σ_n (exp(z_n) - t_n z_n) / N. Targets are at least 0."""

    kind: ClassVar[str] = "poisson"
    formula: ClassVar[str] = "exp(z) - t * z"
    limited: ClassVar[bool] = True
    scaled: ClassVar[bool] = False

    @classmethod
    def predicted(cls, outputs: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            return np.asarray(exp(outputs).astype(outputs.dtype))

    @classmethod
    def outputs_for(cls, numbers: NDArray[Any]) -> NDArray[Any]:
        return log(np.maximum(numbers, np.finfo(np.float64).tiny))

    @classmethod
    def constant(cls, mean: NDArray[Any], variance: NDArray[Any]) -> NDArray[Any]:
        return log(np.maximum(mean, 1e-9))

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        array = arrays.targets(name, value, rows, outputs, dtype)
        return Targets(self.kind, arrays.within(name, array, 0.0, float("inf")))


@dataclass(frozen=True)
class GaussianNLL(Loss):
    """A mean and a log variance for each target: ℓ = Σ_n ½ (s_n + (t_n - m_n)² exp(-s_n)) / N.

    The network has 2N outputs, N means and then N log variances; targets have N columns (Nix and Weigend, 1994).
    """

    kind: ClassVar[str] = "gaussian_nll"
    outputs_per_target: ClassVar[int] = 2
    limited: ClassVar[bool] = True

    def check_outputs(self, outputs: int) -> None:
        if outputs % 2:
            must = "gaussian_nll must have an even number of outputs, means and log variances"
            raise ConfigError("loss", must, f"`{outputs}`")

    def constants(self, outputs: int) -> tuple[float, float]:
        return 2.0 / outputs, 2.0 / outputs

    def encode(self, name: str, value: Any, rows: int, outputs: int, dtype: np.dtype[Any]) -> Targets:
        return Targets(self.kind, arrays.targets(name, value, rows, outputs // 2, dtype))

    @classmethod
    def predicted(cls, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs[:, : outputs.shape[1] // 2]

    @classmethod
    def constant(cls, mean: NDArray[Any], variance: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([mean, log(np.maximum(variance, 1e-9))])

    @classmethod
    def deviations(cls, outputs: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            return np.asarray(exp(0.5 * outputs[:, outputs.shape[1] // 2 :]).astype(outputs.dtype))

    def of_rows(self, z: Any, t: Any) -> Any:
        m, s = z[:, : t.shape[1]], z[:, t.shape[1] :]
        return (s + (t - m) ** 2 * np.exp(-s)) * (0.5 / t.shape[1])
