"""Plans over the batches of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.blocks import Block
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import view
from fastbp.engine.plan import Plan, Table
from fastbp.errors import CheckpointError, DataError, DivergedError
from fastbp.kernels.fields import LINE, WORD
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import (
    END_BACKWARD,
    END_LOSS,
    END_NOTHING,
    TASK_PHASE,
    Phase,
    Piece,
    Task,
    Tile,
    TrainedNorm,
)
from fastbp.lowering import check
from fastbp.lowering.apart import judged
from fastbp.lowering.buffers import Way
from fastbp.lowering.directions import Directions, directions_of, work_of_turns
from fastbp.lowering.divergence import error_of, guard, keep_states
from fastbp.lowering.exchange import Exchange, Ranks, add_exchange, said_of
from fastbp.lowering.losses import losses
from fastbp.lowering.phases import moments_of, row_phases, weight_tiles
from fastbp.lowering.plans import loss_records, work_of
from fastbp.lowering.update import KEEP, SCHEDULED, Update, task_ends
from fastbp.lowering.user_rows import read_rows, reads_codes
from fastbp.lowering.walk import Lowering
from fastbp.spec.graph import Graph
from fastbp.spec.losses import Loss, Targets
from fastbp.sweeps.entries import DIVERGED, USED

# Where a plan stands in its data, by the names that checkpoints use: in the head's `data` and `step`.
PLACE = {
    "epoch": ("data", "epoch"),
    "cursor": ("data", "cursor"),
    "pass_rows": ("step", "epoch_rows"),
    "pass_loss": ("step", "epoch_loss"),
    "pass_weight": ("step", "epoch_weight"),
}
JOINED = {"batch_norm_columns"}  # whose sums were those of all ranks before
TAKERS = {"batch_norm_columns": "batch_norm_columns", "embedding_rows": "embedding_taken"}
PIECE_LINES = 512  # of `gradients` whose squares are summed together


class BatchPlan(Plan):
    """Steps over batches of a data set: row sweep and weight sweep, or without an update the loss alone.

    Parameters
    ----------
    batch : int
        Rows of a full batch.
    loss : Loss
    update : Update, optional
        How gradients are used; None only computes the loss.
    training : bool
        Whether dropout drops and batch norm takes the batch's statistics.
    counts : tuple of int
        Of the rows with codes that it is for: see `Coded`.
    shards : int
        A power of two: runs of rows of a batch whose gradients are sums of their own; see `kernels/shards.py`.
    ranks : Ranks, optional
        Other processes, which do their part of the shards.
    """

    CALL = 8192  # the most steps, and the most epochs, of one call

    def __init__(
        self,
        graph: Graph,
        parameters: Block,
        states: Block,
        workers: int,
        *,
        batch: int,
        loss: Loss,
        update: Update | None,
        training: bool,
        counts: tuple[int, ...] = (),
        shards: int = 1,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(parameters, workers)
        data = self.head.data
        data.cuts, data.own = shards.bit_length() - 1, shards // (ranks.count if ranks else 1)
        data.shard = data.own * (ranks.rank if ranks else 0)
        whole, batch = batch, -(-batch * data.own // shards)  # rows of a full batch, and those that are this rank's
        self.graph, (self._apart, heads, self.loss_parts) = graph, judged(graph, loss)
        of_mean = heads != self._apart.heads
        self._states, self.batch, self.counts = states, whole, counts
        self.loss_spec, self.members = loss, len(heads) if graph.members else 1
        self.update = update or Update(KEEP)
        treatment = update.treatment if update else None
        words: Any = {"training": training, "keeping": update is not None, "treatment": treatment, "counts": counts}
        words |= {"together": ranks is not None, "shards": data.own}
        lowering = Lowering(self._apart, parameters, states, batch, self.arena, **words)
        if update:
            lowering.transpose(to_input=False)
        x = lowering.gather(len(counts) or graph.inputs)
        uses = lowering.forward(x, joined=of_mean)
        loss_ops, seeds = losses(lowering, [uses[head] for head in heads], self.loss_parts)
        if update:
            lowering.backward(uses, seeds, to_input=False)
            if update.only_keeps:  # only steps update running statistics
                for layer in lowering.layers:
                    if isinstance(layer, TrainedNorm):
                        layer.momentum = 0.0
        if graph.members and not of_mean:
            lowering.by_members()
        ops, phases = row_phases(lowering.ops, batch, workers)
        lowering.put(moments_of(phases), ops)
        for phase in phases[:-1]:
            phase.end = END_NOTHING
        phases[-1].end = END_BACKWARD if lowering.layers else END_LOSS
        if ranks:
            add_exchange(self, ranks, ops, phases)
        rows = len(phases)
        self._split_phases: list[int] = []  # those whose tasks have owners
        self.directions: Directions | None = None
        if lowering.layers:
            self.directions = directions_of(self.arena, parameters, self.update)
            phases += [Phase(kind=TASK_PHASE, end=end) for end in task_ends(update, self.directions)]
        self.names, self.blocks = lowering.names, (parameters, states)
        self.title = f"{'train' if update else 'evaluate'}, batch {whole}{said_of(shards, ranks)}"
        self.finish(ops, lowering.layers, phases, lowering.transposes, lowering.more)
        if lowering.layers:
            self._add_tasks(rows, lowering, self.update, ranks is not None)
        self._exchange = Exchange(self, ranks) if ranks else None
        self._loss_ops = [next(i for i, op in enumerate(ops) if op is loss_op) for loss_op in loss_ops]
        head, data, step = self.head, self.head.data, self.head.step
        self.number, self._loss = step.cell("number"), step.cell("loss")  # `number`: steps done, an array of one
        head.training, head.loss_op = 1, self.ops.address_of(self._loss_ops[0])
        data.batch, data.outputs = whole, graph.outputs
        data.scan = kernel_address("scan_reals", self.real)
        data.scan_targets = kernel_address("scan_labels" if loss.of_labels else "scan_reals", self.real)
        self.watcher = None if ranks else check.watcher_of(self, lowering)
        self._step_entry = self.entry("step_batch_labels" if loss.of_labels else "step_batch")
        step.summed, step.row_loss = loss.reduction == "sum", lowering.row_numbers()
        self.rates = view(self.arena.take(self.CALL * 8), (self.CALL,), np.float64)
        names = update.scheduled if update else ()
        self.factors = {name: view(self.arena.take(self.CALL * 8), (self.CALL,), np.float64) for name in names}
        for name, factors in self.factors.items():
            setattr(step, SCHEDULED[name], factors.ctypes.data)
        self._epoch_losses = view(self.arena.take(self.CALL * 8), (self.CALL,), np.float64)
        step.rates, step.losses = self.rates.ctypes.data, self._epoch_losses.ctypes.data
        self._set_up_update(self.update)
        self._order = np.zeros(0, np.uint32)
        self.data: Any = None
        self.feed: Any = None  # of rows that stay in files
        self.first = 0  # which row of the epoch is the first of `data`
        self.work = work_of(graph, batch) + work_of_turns(parameters, self.update)

    def _add_tasks(self, first: int, lowering: Lowering, update: Update, together: bool) -> None:
        """Tables of the tasks of the phases from `first` on: weight tiles by worker, and pieces.

        Of several ranks' sums each leaves its part in the phase before, and takes over what they come to together.
        """
        shares = weight_tiles(lowering.layers, self.workers)
        tiles = [tile for share in shares for tile in share]
        if self.workers > 1:
            self._splits = self.arena.take((self.workers + 1) * WORD)
            view(self._splits, (self.workers + 1,), np.int64)[:] = np.cumsum([0, *(len(share) for share in shares)])
        reducers = lowering.reducers
        if together:
            parts = [self._tile(reducers[i], i, *extent) for i, *extent in tiles if reducers[i] not in JOINED]
            self._set_tasks(first - 1, self._task_table(parts))
            reducers = [TAKERS.get(name, "taken") for name in reducers]
        weights = self._task_table([self._tile(reducers[i], i, *extent) for i, *extent in tiles])
        self._set_tasks(first, weights)
        self._set_tasks(first + 1, weights)
        self._split_phases = [first, first + 1]
        last = len(self.phases.records) - 1
        if last == first + 1:
            return
        names = ["embedding_update" if name == "embedding_rows" else "update" for name in lowering.reducers]
        updates = self._task_table([self._tile(names[i], i, *extent) for i, *extent in tiles])
        for phase in (last - 1, last):  # the trial, and the update
            self._set_tasks(phase, updates)
            self._split_phases.append(phase)
        if update.clip_norm:
            lines = self.parameters.size // LINE
            pieces, norm = range(0, lines, PIECE_LINES), kernel_address("norm", self.real)
            records = [
                Piece(name="norm", kernel=norm, number=i, first=o * LINE, lines=min(PIECE_LINES, lines - o))
                for i, o in enumerate(pieces)
            ]
            self._set_tasks(first + 2, self._task_table(records))
            self.head.update.norms = self.arena.take(len(pieces) * WORD)
            self.head.update.norm_count = len(pieces)
        turns = self.directions.phases if self.directions else []
        for phase, tasks in enumerate(turns, last - 1 - len(turns)):
            self._set_tasks(phase, self._task_table(tasks))

    def _tile(self, name: str, layer: int, i0: int, i1: int, p0: int, p1: int) -> Tile:
        kernel = kernel_address(name, self.real)
        return Tile(name=name, kernel=kernel, layer=self.layers.address_of(layer), i0=i0, i1=i1, p0=p0, p1=p1)

    def _task_table(self, tasks: Sequence[Task]) -> Table:
        table = Table.of(self.arena, Task, tasks)
        self.tasks.append(table)
        return table

    def _set_tasks(self, phase: int, table: Table) -> None:
        record = self.phases.records[phase]
        record.tasks, record.task_count = table.address, len(table.records)

    def _set_up_update(self, update: Update) -> None:
        """Fill the head's record of the update."""
        record = self.head.update
        staged = update.gradients is not None
        kernel = kernel_address(update.kernel, self.real)
        record.staged, record.kernel = staged, kernel
        record.optimizer = kernel_address(KEEP, self.real) if staged else kernel
        record.prepare = kernel_address(RULES[update.kernel].prepare, self.real)
        for number, block in enumerate(update.moments, 1):
            record.blocks.each[number] = block.address
        record.gradients = update.gradients.address if update.gradients else 0
        record.directions = update.directions.address if self.directions and update.directions else 0
        record.blocks.average = update.average.address if update.average else 0
        record.average_keep = update.average_keep
        record.clip_value, record.clip_norm = update.clip_value, update.clip_norm
        self.head.step.accumulate = update.accumulate
        self.set_optimizer(update)
        if not update.only_keeps:
            guard(self.head, update.kernel, (update.treatment or {"": Way()}).values(), self.parameters)
            if staged:
                keep_states(self.head, self._states, self.arena)

    def set_optimizer(self, update: Update) -> None:
        """Take the settings of an optimiser; its kernel and moments stay."""
        self.update, record = update, self.head.update
        RULES[update.kernel].settings(record.settings.view(np.int64), **update.settings)
        record.decay = update.settings.get("decay", 0.0)
        record.running_at, record.now.parameters = 0, np.inf  # what is carried on belongs to the old settings

    def bind(
        self, x: Any, y: Targets, top: int, *, shuffled: bool = False, chosen: NDArray[np.uint32] | None = None
    ) -> None:
        """Read batches from these arrays, which are as kernels read them; `top` is the largest magnitude in x, as bits.

        Only the `chosen` rows, if they are given. With shuffled data of the same number of rows, the current epoch
        continues.
        """
        if len(x) >= 2**32:
            raise DataError("X", "must have fewer than 2**32 rows", f"`{len(x)}`")
        data, self.feed = self.head.data, None
        self.read_arrays(x, y, top, chosen)
        rows = len(x) if chosen is None else len(chosen)
        if not (shuffled and rows == len(self._order)):
            self.new_epoch()
            if shuffled:
                self._order = np.zeros(rows, np.uint32)
        data.dropped = rows % self.batch if shuffled and self.update.drop_last and rows > self.batch else 0
        data.total, data.shuffle = rows - data.dropped, shuffled
        data.chosen = 0 if chosen is None else chosen.ctypes.data
        data.order = self._order.ctypes.data if shuffled else data.chosen

    def read_arrays(self, x: Any, y: Targets, top: int, chosen: NDArray[np.uint32] | None = None) -> None:
        """Have ops read these arrays, from their first row on."""
        self.first, self.data, data = 0, (x, y, chosen), self.head.data  # kept alive while the plan has their addresses
        read_rows(self, x, self.counts)
        for loss, part in zip(loss_records(self), self.of_losses(y), strict=True):
            if loss.name != part.kernel:
                loss.name, loss.kernel = part.kernel, kernel_address(part.kernel, self.real)
            # Not the array's strides: one row of a wider table counts as contiguous whatever its stride says.
            stride = part.array.itemsize * (part.array.shape[1] if part.array.ndim == 2 else 1)
            loss.targets.start, loss.targets.stride = part.array.ctypes.data, stride
        data.weights = y.weights.ctypes.data if y.weights is not None else 0
        data.normalisers = y.normalisers.ctypes.data if y.normalisers is not None else 0
        data.largest = top

    def of_losses(self, y: Targets) -> tuple[Targets, ...]:
        """The targets of each loss: of each output, or the same for every member."""
        return y.parts or (y,) * self.members

    def reads(self, y: Targets) -> bool:
        """Whether it was last bound to these targets, and to their rows."""
        return self.data is not None and self.data[1] is y

    def new_epoch(self) -> None:
        """Abandon a begun epoch: the next batch is the first of another."""
        data, step = self.head.data, self.head.step
        if data.cursor:
            data.epoch += 1
        data.cursor = step.epoch_rows = step.epoch_loss = step.epoch_weight = 0

    def refresh(self, version: int) -> None:
        super().refresh(version)
        if self.update.gradients is not None:  # of rows of tables that another plan saw
            self.update.gradients.clear_for(self)

    def steps(self, count: int, epochs: int, threads: int) -> list[float]:
        """Do up to `count` steps, ending after `epochs` epochs; return the mean losses of the epochs that ended."""
        self.prepare(count, epochs)
        self.run(threads)
        self._check()
        return self.ended()

    def take_team(self, threads: int) -> int:
        threads = super().take_team(threads)
        if self.workers > 1:  # a thread alone has no owners of tasks
            for phase in self._split_phases:
                self.phases.records[phase].split = self._splits if threads == self.workers else 0
        return threads

    def prepare(self, count: int, epochs: int) -> None:
        """Let the next run do up to `count` steps, ending after `epochs` epochs."""
        self.head.step.left, self.head.step.epochs = count, epochs

    def ended(self) -> list[float]:
        """The mean losses of the epochs that ended in the last run."""
        return [float(v) for v in self._epoch_losses[: self.head.step.ended]]

    def step(self, x: Any, y: Any, rate: float, step: int, seed: int) -> bool:
        """One step on these rows, checked and done in one call of compiled code, on the calling thread.

        Only for losses whose rows have equal weights. Returns False, having done nothing, if the arrays need conversion
        or hold invalid values.
        """
        self.data = x, y, None
        if reads_codes(self):
            read_rows(self, x)
        try:
            status = self._step_entry(self.head_address, x, y, rate, step, seed, self.zero)
        except TypeError:
            return False
        if status == DIVERGED or self._exchange:
            self._check()
        return bool(status == USED)

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and rows done of the current one."""
        return self.head.data.epoch, self.head.data.cursor

    def position(self) -> tuple[dict[str, int | float], NDArray[np.uint32]]:
        """Where the plan stands in its data, as numbers, and the order of the rows of a begun epoch."""
        found = {name: getattr(getattr(self.head, part), own) for name, (part, own) in PLACE.items()}
        return found, self._order.copy() if self.head.data.cursor else np.zeros(0, np.uint32)

    def set_position(self, position: tuple[dict[str, Any], NDArray[np.uint32]], rows: int) -> None:
        """Restore a `position` on the same rows; its order is a permutation of them, or empty."""
        numbers, order = position
        if len(order) not in (0, rows):
            raise CheckpointError(f"a fit must go on with the {len(order)} rows of its epoch, got {rows}")
        if numbers["cursor"] and not len(order) and not (self.feed is not None and numbers["cursor"] < rows):
            raise CheckpointError(f"a fit must go on with the windows of rows of its epoch, got {rows} rows")
        for name, (part, own) in PLACE.items():
            setattr(getattr(self.head, part), own, numbers[name])
        if len(order):
            self._order[:] = order

    def go_on(self, position: tuple[dict[str, Any], NDArray[np.uint32]]) -> None:
        """Stand where another plan stood on the rows that come next."""
        self._order = position[1]
        self.set_position(position, len(self._order))

    def rows_since(self, place: tuple[int, int]) -> int:
        """Rows trained on since the plan was at that place."""
        epochs, rows = self.place
        return (epochs - place[0]) * int(self.head.data.total) + rows - place[1]

    @property
    def loss(self) -> float:
        """Loss of the last batch, before its update."""
        return float(self._loss.item())

    @property
    def epoch_loss(self) -> float:
        """Loss so far of the current epoch; NaN at its start."""
        step = self.head.step
        if not step.epoch_rows:
            return float("nan")
        total, weight = step.epoch_loss, step.epoch_weight
        return float(total if step.summed else total / weight if weight else 0.0)

    def error(self) -> DivergedError | None:
        """What ended the last run before its steps were done."""
        return error_of(self.head, self._apart, self.parameters, self.loss)

    def _check(self) -> None:
        if self._exchange:
            self._exchange.check()
        if error := self.error():
            raise error
