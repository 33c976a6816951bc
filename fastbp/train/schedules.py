"""Schedules of the learning rate, and of what else may have one: closed forms of the step.

The rate at a step is the optimiser's `lr` times the schedule's factor there. A factor depends only on the number
of the step, so runs can be resumed and repeated, and its bits are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.numerics.exact import cos_turns, log2, power
from fastbp.spec.checks import between, chance, positive, whole
from fastbp.spec.elsewhere import KnownWords

Array = NDArray[np.float64]

SCHEDULES: dict[str, type[Schedule]] = {}
OTHERS = ("dropout", "weight_decay", "label_smoothing")  # what may have a schedule besides the learning rate
BITS = 53  # steps are float64 in the formulas


def _steps(where: str, value: Any, least: int = 0) -> int:
    return whole(where, value, least, BITS)


def _count(where: str, value: Any) -> int:
    return _steps(where, value, least=1)


def _count_or_none(where: str, value: Any) -> int | None:
    return None if value is None else _count(where, value)


def _part(where: str, value: Any) -> float:
    return between(where, value, 0.0, 1.0)


def _ascending(where: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ConfigTypeError(where, "must be a list of whole numbers", f"`{brief(value)}`")
    numbers = tuple(_count(f"{where}[{i}]", number) for i, number in enumerate(value))
    if any(a >= b for a, b in pairwise(numbers)):
        raise ConfigError(where, "must be ascending", f"`{list(numbers)}`")
    return numbers


# Checks of settings, the same in all schedules.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "warmup": _steps,
    "steps": _count_or_none,
    "milestones": _ascending,
    "end": _part,
    **dict.fromkeys(("every", "first", "multiply"), _count),
    **dict.fromkeys(("gamma", "power", "div", "final_div"), positive),
    **dict.fromkeys(("warm", "flat"), chance),
}


@dataclass(frozen=True)
class Schedule(KnownWords):
    """Base of all schedules: a name in files, a linear warm-up, and factors.

    Parameters
    ----------
    warmup : int, >= 0
        For t < warmup the factor is (t + 1) / warmup times the first of the schedule, which begins at step `warmup`;
        the t of the other formulas counts from there.
    steps : int, >= 1, optional
        The whole run, warm-up included; by default the steps of the fit. T in the formulas is steps - warmup, and
        the last factor is kept after the end.
    end : float, 0 <= end <= 1
        The lowest factor.
    """

    kind: ClassVar[str] = ""
    warmup: int = field(default=0, kw_only=True)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if cls.kind:
            SCHEDULES[cls.kind] = cls

    def __post_init__(self) -> None:
        for name, value in self.settings().items():
            object.__setattr__(self, name, CHECKS[name](self._where(name), value))
        steps = getattr(self, "steps", None)
        if steps is not None and self.warmup >= steps:
            raise ConfigError(self._where("warmup"), f"must be below `steps`, `{steps}`", f"`{self.warmup}`")

    def _where(self, name: str) -> str:
        return f"{type(self).__name__}.{name}"

    @property
    def highest(self) -> float:
        """No factor is above it."""
        return inf if getattr(self, "gamma", 1.0) > 1.0 else 1.0

    def settings(self) -> dict[str, Any]:
        """The arguments that recreate this schedule."""
        return dict(self.__dict__)

    def factors(self, first: int, count: int, total: int | None = None) -> Array:
        """Factors of the learning rate at steps first .. first + count - 1.

        Parameters
        ----------
        first : int, >= 0
            Counted from 0.
        count : int, >= 0
        total : int, optional
            Number of all steps, for a schedule without `steps` that needs it.

        Returns
        -------
        array of float64, shape (count,)
        """
        first, count = _steps("first", first), _steps("count", count)
        steps = np.arange(first, first + count, dtype=np.int64)
        own = self._curve(np.maximum(steps - self.warmup, 0), self._length(total))
        return np.where(steps < self.warmup, (steps + 1.0) / max(self.warmup, 1) * own, own)

    def _length(self, total: int | None) -> int:
        """Steps after the warm-up, if the schedule has an end."""
        if not hasattr(self, "steps"):
            return 0
        steps = self.steps if total is None or self.steps is not None else _steps("total", total)
        if steps is None:
            raise ConfigError(self._where("steps"), "must be given if the length of the run is unknown", "`None`")
        return max(steps - self.warmup, 1)

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        """The factors at steps t after the warm-up."""
        raise TypeError(f"{type(self).__name__} is no schedule")


def _cosine(done: Array, end: float) -> Array:
    """From 1 to `end` as `done` goes from 0 to 1: end + (1 - end) (1 + cos π done) / 2."""
    return end + (1.0 - end) * (0.5 * (1.0 + cos_turns(0.5 * done)))


@dataclass(frozen=True)
class Constant(Schedule):
    """The factor is 1: with `warmup`, a warm-up and nothing else.

    Examples
    --------
    >>> Constant(warmup=4).factors(0, 6).tolist()
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    kind: ClassVar[str] = "constant"

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        return np.ones(len(t))


@dataclass(frozen=True)
class Step(Schedule):
    """γ times as much after every so many steps: γ^⌊t / every⌋.

    Parameters
    ----------
    every : int, >= 1
    gamma : float, > 0

    Examples
    --------
    >>> Step(2, gamma=0.5).factors(0, 5).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    kind: ClassVar[str] = "step"
    every: int
    gamma: float = 0.1

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        return power(self.gamma, t // self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """γ times as much at every milestone: γⁿ, n the number of milestones <= t.

    Parameters
    ----------
    milestones : list of int, each >= 1, ascending
        Steps, counted from the end of the warm-up.
    gamma : float, > 0

    Examples
    --------
    >>> MultiStep([1, 4], gamma=0.5).factors(0, 6).tolist()
    [1.0, 0.5, 0.5, 0.5, 0.25, 0.25]
    """

    kind: ClassVar[str] = "multi_step"
    milestones: Sequence[int]
    gamma: float = 0.1

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        return power(self.gamma, np.searchsorted(np.array(self.milestones, np.int64), t, side="right"))


@dataclass(frozen=True)
class Exponential(Schedule):
    """γ times as much after every step: γᵗ.

    Parameters
    ----------
    gamma : float, > 0

    Examples
    --------
    >>> Exponential(0.5).factors(1, 3).tolist()
    [0.5, 0.25, 0.125]
    """

    kind: ClassVar[str] = "exponential"
    gamma: float

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        return power(self.gamma, t)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """From 1 to `end` along a power of what is left: end + (1 - end) (1 - t / T)^p, T steps long.

    Parameters
    ----------
    power : float, > 0
        p; 1 is a straight line.
    end, steps, warmup : as for every schedule

    Examples
    --------
    >>> Polynomial(steps=4).factors(0, 6).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    kind: ClassVar[str] = "polynomial"
    power: float = 1.0
    end: float = 0.0
    steps: int | None = None

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        left = 1.0 - np.minimum(t, length) / length
        return self.end + (1.0 - self.end) * power(left, self.power)


@dataclass(frozen=True)
class Cosine(Schedule):
    """From 1 to `end` along half a cosine: end + (1 - end) (1 + cos(π t / T)) / 2, T steps long.

    Examples
    --------
    >>> Cosine(steps=4).factors(0, 6).round(4).tolist()
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """

    kind: ClassVar[str] = "cosine"
    end: float = 0.0
    steps: int | None = None

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        return _cosine(np.minimum(t, length) / length, self.end)


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half cosines one after another, each beginning at 1 again and so many times as long as the one before.

    Cycle i has T = first · multiplyⁱ steps; at its step t the factor is end + (1 - end) (1 + cos(π t / T)) / 2
    (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    first : int, >= 1
        Steps of the first cycle.
    multiply : int, >= 1
    end, warmup : as for every schedule

    Examples
    --------
    >>> CosineRestarts(2, multiply=2).factors(0, 7).round(4).tolist()
    [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 1.0]
    """

    kind: ClassVar[str] = "cosine_restarts"
    first: int
    multiply: int = 1
    end: float = 0.0

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        if self.multiply == 1:
            return _cosine((t % self.first) / self.first, self.end)
        cycle, last, starts = self.first, int(t.max(initial=0)), [0]
        lengths = [float(cycle)]
        while starts[-1] + cycle <= last:
            starts.append(starts[-1] + cycle)
            cycle *= self.multiply
            lengths.append(float(cycle))
        begun = np.array(starts, np.int64)
        number = np.searchsorted(begun, t, side="right") - 1
        return _cosine((t - begun[number]) / np.array(lengths)[number], self.end)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from 1 / div to 1 and down to 1 / (div · final_div), both along half a cosine (Smith and Topin, 2018).

    Of T steps the highest is number warm · T - 1 and the lowest the last; `lr` is the rate at the top.

    Parameters
    ----------
    warm : float, 0 <= warm < 1
        The part of the run that goes up.
    div, final_div : float, > 0
    steps, warmup : as for every schedule

    Examples
    --------
    >>> OneCycle(warm=0.5, div=10.0, final_div=10.0, steps=6).factors(0, 6).round(4).tolist()
    [0.1, 0.55, 1.0, 0.7525, 0.2575, 0.01]
    """

    kind: ClassVar[str] = "one_cycle"
    warm: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    steps: int | None = None

    @property
    def highest(self) -> float:
        return max(1.0, 1.0 / self.div, 1.0 / self.div / self.final_div)

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        now = np.minimum(t, length - 1) + 0.0
        top = self.warm * length - 1.0
        rising = now < top
        low = np.where(rising, 1.0 / self.div, 1.0 / self.div / self.final_div)
        away = np.where(rising, (top - now) / (top if top > 0.0 else 1.0), (now - top) / (length - 1.0 - top))
        return low + (1.0 - low) * (0.5 * (1.0 + cos_turns(0.5 * away)))


@dataclass(frozen=True)
class CosLog4(Schedule):
    """Four waves from 0 to 1 and back, each twice as long as the one before: (1 - cos(2π log2(1 + 15 t / T))) / 2.

    Examples
    --------
    >>> CosLog4(steps=15).factors(0, 16).round(2).tolist()
    [0.0, 0.0, 0.93, 0.0, 0.72, 0.93, 0.32, 0.0, 0.26, 0.72, 0.98, 0.93, 0.65, 0.32, 0.08, 0.0]
    """

    kind: ClassVar[str] = "cos_log4"
    steps: int | None = None

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        done = np.minimum(t, length) / length
        return 0.5 * (1.0 - cos_turns(log2(1.0 + 15.0 * done)))


@dataclass(frozen=True)
class FlatCosine(Schedule):
    """1 for a fraction of the run, then to `end` along half a cosine: end + (1 - end) (1 + cos π u) / 2.

    u = (t - flat · T) / (T - flat · T), T steps long.

    Parameters
    ----------
    flat : float, 0 <= flat < 1
        The fraction at 1.
    end, steps, warmup : as for every schedule

    Examples
    --------
    >>> FlatCosine(flat=0.5, steps=4).factors(0, 6).round(4).tolist()
    [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    kind: ClassVar[str] = "flat_cosine"
    flat: float = 0.72
    end: float = 0.0
    steps: int | None = None

    def _curve(self, t: NDArray[np.int64], length: int) -> Array:
        begun = self.flat * length
        return _cosine(np.maximum(np.minimum(t, length) - begun, 0.0) / (length - begun), self.end)
