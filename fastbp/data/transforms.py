"""Transforms of numbers to predict: a network is trained on u = f(y), and its predictions are y = f⁻¹(u).

    none       u = y
    log        u = log y              y > 0     y = exp u
    log1p      u = log (1 + y)        y > -1    y = exp u - 1
    sqrt       u = √y                 y >= 0    y = u², and 0 where u < 0
    quantile   u = Φ⁻¹(F(y))                    y = F⁻¹(Φ(u)), within what the training rows have

F is the distribution of the training rows, at up to 1000 quantiles, as of columns of scale `quantile`. All of them
rise, so what lies between two numbers, or above half of all, still does when it is transformed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.numbers import knots_of, levels_of
from fastbp.data.stored import Stored
from fastbp.errors import DataError, visible
from fastbp.numerics.exact import exp, log, log1p

Array = NDArray[np.float64]
TRANSFORMS = ("none", "log", "log1p", "sqrt", "quantile")
LOWEST = {"log": (0.0, False), "log1p": (-1.0, False), "sqrt": (0.0, True)}  # and whether it is within the domain


@dataclass
class Transform:
    """The transform of one target; `knots` are the quantiles of the training rows, for `quantile`."""

    name: str = "none"
    knots: Array = field(default_factory=lambda: np.zeros(0))

    def fit(self, values: Array) -> None:
        """Fit to the training rows."""
        if self.name == "quantile":
            self.knots = knots_of(np.sort(values))

    def check(self, values: Array, frame: Frame, target: str) -> None:
        """Refuse the first number that it does not take."""
        if self.name not in LOWEST:
            return
        lowest, within = LOWEST[self.name]
        bad = ~(values >= lowest if within else values > lowest)
        if bad.any():
            row = int(np.argmax(bad))
            limit = f"{'at least' if within else 'above'} {lowest:g}"
            takes_more = "`log1p`, which takes numbers above -1, or " if values[bad].min() > -1.0 else ""
            instead = f"`data.target_transform` may be {takes_more}`quantile`, which takes all"
            raise DataError(
                f"{frame.place(row)}target `{visible(target)}` must be {limit} for the transform `{self.name}`,"
                f" got `{values[row]:.12g}`",
                hint=instead if frame.blank is None else None,
            )

    def forward(self, y: Array) -> Array:
        """What the network is trained on."""
        if self.name == "log":
            return log(y)
        if self.name == "log1p":
            return log1p(y)
        if self.name == "sqrt":
            return np.asarray(np.sqrt(y))
        if self.name == "quantile":
            return np.asarray(np.interp(y, *levels_of(self.knots)))
        return y

    def back(self, u: Array) -> Array:
        """Numbers in the units of the table."""
        if self.name == "log":
            return exp(u)
        if self.name == "log1p":
            return np.asarray(exp(u) - 1.0)
        if self.name == "sqrt":
            with np.errstate(over="ignore"):  # overflow to infinity is fine here
                return np.square(np.maximum(u, 0.0))
        if self.name == "quantile":
            places, levels = levels_of(self.knots)
            return np.asarray(np.interp(u, levels, places))
        return u

    def slope(self, u: Array) -> Array:
        """dy / du, by the chain rule the factor of derivatives in the units of the table."""
        if self.name in ("log", "log1p"):
            return exp(u)
        if self.name == "sqrt":
            return np.asarray(2.0 * np.maximum(u, 0.0))
        if self.name == "quantile":
            places, levels = levels_of(self.knots)
            if len(levels) == 1:
                return np.zeros_like(u)
            steep = np.concatenate([[0.0], np.diff(places) / np.diff(levels), [0.0]])  # flat beyond both ends
            return np.asarray(steep[np.searchsorted(levels, u, "right")])
        return np.ones_like(u)

    def to_data(self) -> dict[str, Any]:
        return {"name": self.name, "knots": self.knots.tolist()}

    @classmethod
    def from_data(cls, data: Stored) -> Transform:
        """From the result of `to_data`, as stored in a file."""
        found = data.keys(*(f.name for f in fields(cls)))
        name, knots = found["name"].one_of(TRANSFORMS), found["knots"].numbers()
        if bool(len(knots)) != (name == "quantile") or (np.diff(knots) < 0.0).any():
            raise found["knots"].fail("be rising numbers where `name` is `quantile`, and empty elsewhere")
        return cls(name, knots)
