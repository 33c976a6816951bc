"""A scale: where a number stands between two ends, and the round numbers that are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DECADES = 10.0  # ratio of largest to smallest from which a scale of losses is logarithmic


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, which differ; logarithmic where `log`."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[float], may_be_log: bool = False, also: float | None = None) -> Scale:
        """The scale of some numbers; `also` is within it if that does not make it more than twice as long."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        log = may_be_log and low > 0.0 and high > DECADES * low
        if also is not None and (also > 0.0 or not log):
            wide = cls(min(low, also), max(high, also), log)
            if wide._length() <= 2.0 * cls(low, high, log)._length():
                low, high = wide.low, wide.high
        if not log and high - low < 1e-12 * max(abs(high), 1e-300):
            room = 0.5 * abs(high) or 0.5
            low, high = low - room, high + room
        return cls(low, high, log)

    def _length(self) -> float:
        return math.log(self.high) - math.log(self.low) if self.log else self.high - self.low

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def at(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / self._length()
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves, as a difference may overflow

    def ticks(self) -> list[float]:
        """Round numbers on it."""
        if not self.log:
            return ticks(self.low, self.high)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
        every = max(1, (last - first) // 6)
        found = [s * 10.0**d for d in range(first, last + 1, every) for s in steps]
        return [value for value in found if value in self]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two."""
    span = high - low
    if not math.isfinite(span) or span <= 0.0:
        return [low, high]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next((times for times in (1.0, 2.0, 5.0) if span / (step * times) <= most), 10.0)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def whole_ticks(last: int, most: int = 8) -> list[int]:
    """1, and round numbers up to `last`."""
    found = [round(t) for t in ticks(0.0, float(max(last, 1)), most) if t >= 1.0 and abs(t - round(t)) < 1e-9]
    step = found[1] - found[0] if len(found) > 1 else last
    inner = [t for t in found if t - 1 >= max(step / 2, 1) and (t == last or last - t >= step / 2)]
    return [1, *inner, *([last] if last > 1 and last not in inner else [])]
