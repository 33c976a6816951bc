"""What a plan reads of rows that stay in files: segments of an epoch's order, one behind another.

A segment is the window that is read, less what does not fill a step at its end, which is where the next begins: no row
is lost and no batch is cut. A plan takes its rows as they come, under the numbers that they have in the epoch, so that
it counts batches, epochs and losses as it does with all rows in memory. While it works on one segment, a thread reads
the next.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, DataError, ShapeError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import CALL_WORK, team_sizes
from fastbp.lowering.segments import bind_feed, bind_segment
from fastbp.lowering.user_rows import counts_for
from fastbp.model.network import EVALUATION_ROWS, Network
from fastbp.numerics.draws import bootstrap
from fastbp.numerics.windows import Order
from fastbp.spec import arrays
from fastbp.spec.losses import Loss, Targets
from fastbp.spec.windows import Source, Windows

Array = NDArray[Any]


class Segment(NamedTuple):
    """Rows `first` to `end` - 1 of an epoch, checked."""

    epoch: int
    first: int
    end: int
    x: Any
    targets: Targets
    top: int


class Feed:
    """Rows of `Windows` with their targets, for steps of `unit` rows.

    Parameters
    ----------
    net, loss
        What rows and targets are checked for.
    X : Windows
    y : array, shape (rows,) or (rows, outputs)
    sample_weight : array, shape (rows,), optional
    unit : int
        Rows of a step.
    seed : int or None
        Of the order; None: as they are.
    """

    def __init__(
        self, net: Network, loss: Loss, X: Windows, y: Any, sample_weight: Any, unit: int, seed: int | None
    ) -> None:
        if len(net.graph.heads) > 1:
            raise ConfigError("X", "must be in memory for a network with several outputs", "`Windows`")
        self.net, self.loss, self.X, self.unit, self.seed = net, loss, X, unit, seed
        self.y = Source(y)
        own = sample_weight
        self.weights = own if own is None or isinstance(own, Source) else Source(own)
        for name, source in (("y", self.y), ("sample_weight", self.weights)):
            if source is not None and (not source.array.ndim or len(source) != len(X)):
                raise ShapeError(name, f"must have {len(X)} rows, as X has", f"shape `{source.array.shape}`")
        self.like = self._checked(np.zeros(1, np.int64))[0]
        self._now: Segment | None = None
        self._ahead: tuple[tuple[int, int], threading.Thread, list[Any]] | None = None

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: Array) -> Any:
        return self._checked(np.asarray(rows, np.int64))[0]

    def drawn(self, most: int) -> Any:
        """All rows, or about so many that the network's seed draws."""
        few = len(self) <= most
        return self[np.arange(len(self)) if few else np.unique(bootstrap(len(self), most, self.net.seed, 0, 0))]

    def _checked(self, rows: Array) -> tuple[Any, Targets, int]:
        """Rows of these numbers, as kernels read them."""
        weights = None if self.weights is None else self.weights.some(rows)
        return self._read(self.X.source.some(rows), self.y.some(rows), weights)

    def _read(self, x: Array, y: Array, weights: Array | None) -> tuple[Any, Targets, int]:
        """What was read, as kernels read it; weights may all be 0, as others of the rows have some."""
        x, t, top = self.net.checked(self.X.coded(x), y, self.loss)
        if weights is None:
            return x, t, top
        own = np.ascontiguousarray(weights, np.float64)
        if not np.isfinite(own).all():
            raise DataError("sample_weight", "must be finite", f"`{own[~np.isfinite(own)][0]}`")
        arrays.within("sample_weight", own, 0.0, np.inf)
        below = t.normalisers
        if self.loss.reduction == "mean":
            below = own if below is None else own * below
        return x, replace(t, weights=own if t.weights is None else own * t.weights, normalisers=below), top

    def order(self, epoch: int) -> Order:
        """The order of an epoch."""
        return Order(len(self), self.X.block, self.X.window, self.seed, epoch)

    def place(self, epoch: int, cursor: int) -> tuple[int, int, int]:
        """The window of the segment with this row of an epoch, the segment's first row, and the one behind its last."""
        order = self.order(epoch)
        starts = order.starts(order.shuffled()) // self.unit * self.unit
        starts[-1] = len(self)
        window = int(np.searchsorted(starts[:-1], cursor, "right")) - 1
        return window, int(starts[window]), int(starts[window + 1])

    def segment(self, epoch: int, cursor: int) -> Segment:
        """Read the segment with this row of an epoch."""
        order = self.order(epoch)
        blocks = order.shuffled()
        starts = order.starts(blocks)
        window, first, end = self.place(epoch, cursor)
        sources = [one for one in (self.X.source, self.y, self.weights) if one is not None]
        outs = [one.room(end - first) for one in sources]
        at = window
        while at > 0 and starts[at] > first:  # what the windows before leave over
            at -= 1
        for each in range(at, window + 1):
            begin = max(first, int(starts[each]))
            count = int(starts[each + 1] - starts[each])
            spans = order.of(blocks[each * order.window : (each + 1) * order.window])
            chosen = order.within(each, count)[begin - starts[each] : min(end, starts[each + 1]) - starts[each]]
            for source, out in zip(sources, outs, strict=True):
                here = out[begin - first : begin - first + len(chosen)]
                if each < window:
                    numbers = np.concatenate([np.arange(*span) for span in spans])[chosen]
                    here[...] = source.some(numbers)
                    continue
                whole, done = source.room(count), 0
                for low, high in spans:
                    source.read(low, whole[done : done + high - low])
                    done += high - low
                np.take(whole, chosen, axis=0, out=here, mode="clip")
        return Segment(epoch, first, end, *self._read(*outs, *([None] if self.weights is None else [])))

    def ahead(self, plan: BatchPlan) -> int:
        """Have a plan read the segment that it stands in; returns the rows that are left of it."""
        epoch, cursor = plan.place
        now = self._now
        if now is None or now.epoch != epoch or not now.first <= cursor < now.end:
            self._now = None  # whose memory the next but one may take
            now = self._now = self._taken(epoch, cursor)
            bind_segment(plan, now.x, now.targets, now.top, now.first)
            following = (epoch, now.end) if now.end < plan.head.data.total else (epoch + 1, 0)
            if self.seed is not None or following[1]:
                self._prepare(*following)
        return int(min(now.end, plan.head.data.total)) - cursor

    def _taken(self, epoch: int, cursor: int) -> Segment:
        """The segment that was read meanwhile, if it is this one."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            key, thread, found = ahead
            thread.join()
            if key == (epoch, cursor) and found:
                if isinstance(found[0], BaseException):
                    raise found[0]
                return found[0]  # type: ignore[no-any-return]
        return self.segment(epoch, cursor)

    def _prepare(self, epoch: int, cursor: int) -> None:
        """Read a segment in a thread of its own."""
        found: list[Any] = []

        def work() -> None:
            try:
                found.append(self.segment(epoch, cursor))
            except BaseException as error:
                found.append(error)

        thread = threading.Thread(target=work, name="fastbp rows", daemon=True)
        self._ahead = (epoch, cursor), thread, found
        thread.start()

    def rest(self) -> None:
        """Hold nothing in memory."""
        if self._ahead is not None:
            self._ahead[1].join()
        self._ahead = self._now = None


def evaluated(net: Network, loss: Loss, feed: Feed, threads: int | None = None) -> float:
    """Loss over rows that stay in files, with the bits of `Network.evaluate_checked` on the same in memory."""
    with net.lock:
        key = "evaluate", loss, counts_for(net.graph, feed.like)
        plan = net._plans.find(key)
        if plan is None:
            plan = net._plans[key] = net._batch_plan(EVALUATION_ROWS, loss, None, False, key[2])
        bind_feed(plan, feed, training=False)
        plan.head.data.cursor = plan.head.data.epoch = 0
        most = min(plan.CALL, max(1, CALL_WORK // max(plan.work, 1)))
        size = team_sizes(plan.work, plan.workers)[1] if threads is None else threads
        ended: list[float] = []
        try:
            while not ended:
                left = feed.ahead(plan)
                ended = plan.steps(min(most, -(-left // EVALUATION_ROWS)), 1, size)
        finally:
            feed.rest()
            plan.data = plan.feed = None
        return ended[0]
