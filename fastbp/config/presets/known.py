"""What a preset may know of a table: what its training rows are like."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastbp.data.categories import encodings_of, size_of
from fastbp.data.goal import TOLD_BINS, bent_by

if TYPE_CHECKING:
    from fastbp.config.schema import Config
    from fastbp.data.frame import Frame
    from fastbp.data.inputs import Inputs


@dataclass(frozen=True)
class Known:
    """What the training rows are like.

    Attributes
    ----------
    task : {"classes", "labels", "numbers"}
    rows : int
        That train.
    outputs : int
        Of the network: how many classes, labels or numbers there are.
    numbers : int
        Columns of numbers.
    dates : int
        Numbers that dates become.
    categories : tuple of int
        For each column of categories how many it has.
    others : int
        Numbers that texts of words and missing values become.
    """

    task: str
    rows: int
    outputs: int
    numbers: int
    dates: int = 0
    categories: tuple[int, ...] = ()
    others: int = 0
    _bends: Callable[[int, int | None], float | None] = field(default=lambda *_: None, compare=False, repr=False)

    @property
    def inputs(self) -> int:
        """Numbers that a network gets for a row where `data.encode` is `auto`."""
        counts = {str(i): count for i, count in enumerate(self.categories)}
        encodings = encodings_of(counts, self.rows)
        coded = (n if encodings[name] == "one_hot" else size_of(n) for name, n in counts.items())
        return self.numbers + self.dates + self.others + sum(coded)

    @cached_property
    def bent(self) -> float | None:
        """The share of the target that bins of a column of numbers tell more of than a straight line does, on average;
        None without such columns.
        """
        return self._bends(TOLD_BINS, None)

    def told(self, bins: int, least: int | None = None) -> float:
        """The same for so many bins, of `piecewise_linear` with `least`; 0 without such columns."""
        return self._bends(bins, least) or 0.0

    @classmethod
    def of(cls, inputs: Inputs, task: str, outputs: int, frame: Frame, targets: Sequence[str] | Any) -> Known:
        """What is known by fitted encodings of training rows; `targets` are their columns, or the targets."""
        from fastbp.data.categories import Category
        from fastbp.data.dates import Dates
        from fastbp.data.numbers import Numbers

        parts = inputs.parts
        numbers = [len(part.fill) for part in parts if isinstance(part, Numbers)]
        dates = [part.width - part.hole for part in parts if isinstance(part, Dates)]
        categories = [part.count for part in parts if isinstance(part, Category)]
        others = sum(part.width for part in parts if not isinstance(part, Category)) - sum(numbers) - sum(dates)
        named = [part.name for part in parts if isinstance(part, Numbers)]
        return cls(
            *(task, len(frame), outputs, sum(numbers), sum(dates), tuple(categories), others),
            lambda bins, least: bent_by(frame, named, targets, task, bins, least),
        )


def known_of(config: Config) -> Known:
    """What is known of the rows of a configuration, which are read for it; nothing is said of them yet."""
    from fastbp.data.outputs import Outputs
    from fastbp.data.plan import column_plan
    from fastbp.data.prepare import frames_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come when the rows are prepared
        frames, targets, task, whole = frames_of(config.data, config.seed)
        train = frames["train"]
        inputs, _, _ = column_plan(train, config.data, targets, whole)
        inputs.fit(train)
        outputs = Outputs(task, targets)
        outputs.fit(train, scaled=False)
        return Known.of(inputs, task, outputs.width, train, targets)
