"""The tasks of a plan beside their twins: gradients of tiles, what becomes of them, and that each is done once.

A task hands lines of gradients over to kernels that are looked at by themselves: a penalty's, the optimiser's, or the
one that tries an update. So here is what it has to hand over, and what else it does: the running average, running
statistics, transposed weights. Nothing else among parameters, moments and the like may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.fields import LINE
from fastbp.kernels.records import LOOKING, Worker
from fastbp.lowering.check.directions import TURNS, Matrices, squares, turn
from fastbp.lowering.check.done import Done
from fastbp.lowering.check.gradients import Gradient, Tile, codes_of
from fastbp.lowering.check.updates import OPTIMIZERS, Lines, average, keep, penalty, stored, update
from fastbp.lowering.check.values import Output, natural, panels_at, summing

Array = NDArray[Any]

TILES = (
    "weights",
    "coded_weights",
    "columns",
    "prelu_columns",
    "batch_norm_columns",
    "embedding_rows",
    "update",
    "embedding_update",
)
KEEP, ATTEMPT = "keep_gradients", "attempt"
AVERAGE, GRADIENTS, STATES = "the running average", "the gradients that wait", "the running statistics"
Blocks = dict[str, tuple[Array, Array]]  # memory and a copy of it


@dataclass
class Handed:
    """Lines of gradients that a task has handed over."""

    offset: int
    gradients: Array


class Tasks:
    """What is known of the tasks of one plan."""

    def __init__(self, plan: Any, lowering: Any, rows: Any) -> None:
        self.plan, self.rows, self.parameters = plan, rows, plan.parameters
        self.layers, self.more, self.reducers = lowering.layers, lowering.more, lowering.reducers
        self.states = lowering.states
        self.dtype = plan.parameters.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.in_line = LINE // self.dtype.itemsize
        self.handed: list[Handed] = []
        self.penalised: dict[int, tuple[Array, Array]] = {}
        self.trying = False
        self.seen: dict[int, list[int]] = {}  # rows of a table, by its sums, that have occurred in this step
        self.begin()

    def begin(self) -> None:
        """Forget what is done: a batch begins."""
        self.done = Done(self)

    @staticmethod
    def has_twin(name: str) -> bool:
        """Whether there is one for a task, an optimiser, a penalty or what is called in their place."""
        return (
            name in (*TILES, *TURNS, *OPTIMIZERS, "norm", KEEP, ATTEMPT, "transpose_weights")
            or "custom_penalty_" in name
        )

    def _uses(self, layer: int) -> list[Any]:
        """A layer's record as it was lowered, and those of other uses of its parameters."""
        first = self.layers[layer]
        return [first, *(other for known, other in self.more if known is first)]

    @staticmethod
    def _wrong(where: str, what: str, must: float, row: int, column: int, got: float) -> PlanError:
        return PlanError(f"{where}: {what} must be {must:.9g} at row {row}, column {column}, got {got:.9g}")

    def _compare_whole(self, where: str, output: Output, layer: Any) -> None:
        """The same for an output with rows and columns of its own."""
        if (found := output.difference()) is not None:
            (row, column), must, got = found
            of = self.parameters.name_at(layer.weight.offset) if layer.weight.offset >= 0 else f"layer {layer.node}"
            raise self._wrong(where, f"{output.name} of `{of}`", must, row, column, got)

    def where(self, name: str, what: str = "task") -> str:
        return f"{what} `{name}` of `{self.plan.title}`"

    def place(self, offset: int, lane: int = 0) -> tuple[str, int, int]:
        """Which number of which parameter stands at this byte of a block: its name, row and column."""
        name = self.parameters.name_at(offset)
        slot = self.parameters.slots[name]
        which, within = divmod(offset - slot.offset, slot.each)
        panel, line = divmod(within, slot.stride)
        return name, which * slot.rows + line // LINE, panel * self.in_line + lane

    def _compare(self, where: str, output: Output, offset: int) -> None:
        """Raise what is wrong with lines of a block that begin at this byte."""
        if (found := output.difference()) is None:
            return
        (line, lane), must, got = found
        name, row, column = self.place(offset + line * LINE, lane)
        raise self._wrong(where, f"{output.name} of `{name}`", must, row, column, got)

    # Kernels that tasks call.

    def call_lines(self, run: Any, name: str, head: int, me: int, offset: int, count: int) -> None:
        """One call of a penalty's kernel, an optimiser's, or of those that take its place."""
        lines = Lines.at(name, head, me, offset, count, self.dtype)
        if name == ATTEMPT:
            if lines.me.gradients:
                self._note(lines)
            self.trying = True
            run()
            self.trying = False
            return
        if "custom_penalty_" in name:
            before = lines.gradients()
            outputs = penalty(lines)
        else:
            outputs = keep(lines) if name == KEEP else update(lines)
            if not self.trying:
                self._note(lines)
        run()
        for output in outputs:
            self._compare(self.where(name, "kernel"), output, offset)
        if "custom_penalty_" in name:
            self.penalised[offset] = before, lines.gradients()

    def _note(self, lines: Lines) -> None:
        self.handed.append(Handed(lines.offset, lines.gradients()))

    # Tasks.

    def call_at(self, run: Any, address: int, me: int) -> None:
        """The task whose record is at this address, beside its twin."""
        tables = self.plan.tasks
        number = next(i for i, t in enumerate(tables) if 0 <= address - t.address < t.size * len(t.records))
        at = (address - tables[number].address) // tables[number].size
        task = tables[number].records[at]
        self.done.ran[number][at] += not self.plan.head.step.checking
        self.call(run, task, me)

    def call(self, run: Any, task: Any, me: int) -> None:
        """One task, beside its twin."""
        worker = Worker(view(me, (Worker.size,), np.int64))
        self.handed, self.penalised = [], {}
        where = self.where(task.name)
        before = self._blocks()
        if task.name == "norm":
            run()
            self._check_norm(where, task)
        elif task.name in TURNS:
            self._call_turn(run, where, task)
        else:
            self._call_tile(run, where, task, worker, before)
        self._check_blocks(where, before, task)
        self.rows.check_untouched(where)

    def _call_turn(self, run: Any, where: str, task: Any) -> None:
        """A part of what makes directions orthogonal."""
        outputs = turn(task, self.plan)
        for output in outputs:
            output.poison()
        run()
        matrix = Matrices(self.plan, task)
        offset = matrix.record.offset
        for output in outputs:
            if (found := output.difference()) is not None:
                (row, column), must, got = found
                name = f"{output.name} of `{self.parameters.name_at(offset)}`"
                raise self._wrong(where, name, must, row, column, got)
        if task.name == "muon_momentum":
            for panel, (got, must) in enumerate(zip(*squares(task, self.plan), strict=True), task.p0):
                self._check_squares(where, f"panel {panel}", float(got), float(must), matrix.record.inputs)

    def _call_tile(self, run: Any, where: str, task: Any, worker: Any, before: Blocks) -> None:
        layers, head = self.plan.layers, self.plan.head
        uses = self._uses((task.layer - layers.address) // layers.size)
        layer, rows = uses[0], head.data.rows
        updating = task.name in ("update", "embedding_update")
        for use in () if updating else uses:
            for matrix in (use.x, use.d):
                self.rows.check_final(where, matrix, rows)
        tile = Tile(self.plan, task, uses, worker, rows)
        gradients = tile.gradients()
        if task.name == "embedding_rows":
            self._see(layer, rows)
        waiting = self._table_gradients(layer) if task.name == "embedding_rows" and head.update.staged else None
        statistics = self._statistics(tile) if task.name == "batch_norm_columns" else []
        run()
        checking, staged = head.step.checking, bool(head.update.staged) and not updating
        if waiting is not None:
            self._check_table(where, layer, gradients, waiting)
        elif not self.handed and checking and gradients:
            self._check_reduced(where, gradients)
        else:
            self._check_handed(where, gradients, staged)
        for output in statistics if not checking else []:
            self._compare_whole(where, output, layer)
        if not checking:
            self.done.count(gradients, updating or not staged)
            if not staged:
                if AVERAGE in before:
                    self._check_averages(where, before[AVERAGE][1], layer, task.name.startswith("embedding"))
                self._check_transposed(where, layer, tile)

    def _check_reduced(self, where: str, gradients: list[Gradient]) -> None:
        """Gradients that are only looked at, or that nobody goes on with since one of them is not finite."""
        for g in gradients:
            memory = view(g.scratch, g.must.shape, self.dtype)
            self._compare(where, Output("the gradient", memory, g.must, g.bound), g.offset)
        finite = all((np.abs(g.must) + g.bound < float(np.finfo(self.dtype).max)).all() for g in gradients)
        if finite and self.plan.head.step.checking != LOOKING:
            raise PlanError(f"{where}: gradients must be handed over, got none")

    def _check_handed(self, where: str, gradients: list[Gradient], staged: bool) -> None:
        limit = float(self.dtype.type(self.plan.head.update.clip_value))
        wanted, found = (
            [(g.offset, len(lines)) for g, lines in pairs]
            for pairs in ([(g, g.must) for g in gradients], [(h, h.gradients) for h in self.handed])
        )
        if wanted != found:
            raise PlanError(f"{where}: gradients of lines {wanted} must be handed over, got those of {found}")
        for g, handed in zip(gradients, self.handed, strict=True):
            must, got = g.must, handed.gradients
            if g.offset in self.penalised:
                before, after = self.penalised[g.offset]
                self._compare(where, _seen("the gradient", before, g.must, g.bound, self.dtype), g.offset)
                must, g.bound = after, np.zeros(after.shape)
            if limit and not staged:
                must = np.clip(must, -limit, limit)
            self._compare(where, _seen("the gradient", got, must, g.bound, self.dtype), g.offset)

    def _check_averages(self, where: str, before: Array, layer: Any, table: bool) -> None:
        """What was handed over moves its average; of a table all of it moves, each row once."""
        given = self.plan.update
        part = float(self.dtype.type(given.average_keep if self.plan.head.step.number else 0.0))
        parts = [(h.offset, len(h.gradients)) for h in self.handed]
        if table:
            learned = layer.weight
            parts = [(learned.offset + panel * learned.stride, layer.inputs) for panel in range(layer.panels)]
        for offset, lines in parts:
            shape = lines, self.in_line
            old = before[offset : offset + lines * LINE].view(self.dtype).reshape(shape).astype(np.float64)
            after = view(self.parameters.address + offset, shape, self.dtype).astype(np.float64)
            must, bound = average(old, after, part, self.eps)
            memory = view(given.average.address + offset, shape, self.dtype)
            self._compare(where, Output("the running average", memory, must, bound), offset)

    def _check_transposed(self, where: str, layer: Any, tile: Tile) -> None:
        if layer.transposed.start:
            first, last = tile.i0 // self.in_line, -(-tile.i1 // self.in_line)
            self.check_transposed(where, layer, (first, last), (tile.p0, tile.p1))

    def check_transposed(self, where: str, layer: Any, blocks: tuple[int, int], panels: tuple[int, int]) -> None:
        """The transposed copy of some blocks of lines and panels of a layer's weights."""
        (b0, b1), (p0, p1), weight, copy = blocks, panels, layer.weight, layer.transposed
        p = self.in_line
        start = self.parameters.address + weight.offset + p0 * weight.stride
        weights = natural(panels_at(start, weight.stride, p1 - p0, b1 * p, self.dtype))[b0 * p :]
        start = copy.start + b0 * copy.stride
        memory = panels_at(start, copy.stride, b1 - b0, p1 * p, self.dtype)[p0 * p :]
        output = Output("the transposed copy", memory, weights.T, np.zeros(weights.T.shape), p0 * p, b0 * p)
        self._compare_whole(where, output, layer)

    def _statistics(self, tile: Tile) -> list[Output]:
        """What the running statistics become: the batch's variance is taken without its bias."""
        layer, rows, part = tile.layer, tile.rows, float(self.dtype.type(tile.layer.momentum))
        if not layer.momentum > 0.0:
            return []
        found = []
        pairs = [("the running mean", layer.running_mean, layer.mean, 1.0)]
        if rows > 1:
            pairs.append(("the running variance", layer.running_variance, layer.variance, rows / (rows - 1.0)))
        for name, running, batch, factor in pairs:
            old, new = (
                view(at + tile.p0 * LINE, (1, tile.p1 - tile.p0, self.in_line), self.dtype) for at in (running, batch)
            )
            before, now = natural(old), natural(new) * factor
            must = before + part * (now - before)
            bound = stored(must, self.eps) + 4.0 * self.eps * part * (np.abs(now) + np.abs(now - before))
            found.append(Output(name, old, must, bound, 0, tile.p0 * self.in_line))
        return found

    def _check_norm(self, where: str, task: Any) -> None:
        head = self.plan.head
        g = view(head.update.gradients + task.first, (task.lines, self.in_line), self.dtype).astype(np.float64)
        must = float(np.square(g).sum())
        if must > float(np.finfo(self.dtype).max) and self.dtype.itemsize == 8:
            must = -float(np.square(g * 2.0**-600).sum())
        got = float(view(head.update.norms, (task.number + 1,), np.float64)[task.number])
        self._check_squares(where, f"piece {task.number}", got, must, task.lines)

    def _check_squares(self, where: str, of: str, got: float, must: float, lines: int) -> None:
        if not abs(got - must) <= (summing(lines) + 8.0) * self.eps * abs(must) + float(np.finfo(self.dtype).tiny):
            raise PlanError(f"{where}: the sum of squares of {of} must be {must:.9g}, got {got:.9g}")

    # Tables of embeddings.

    def _see(self, layer: Any, rows: int) -> None:
        """Note which rows occur in this step, in order."""
        codes, known = codes_of(layer, rows, self.dtype)
        seen = self.seen.setdefault(layer.sums, [])
        if not self.plan.head.step.checking:
            if self.plan.head.step.micro == 0:
                seen.clear()
            seen += [row for row in dict.fromkeys(codes[known].tolist()) if row not in seen]

    def _table_gradients(self, layer: Any) -> Array:
        """The gradients of a table that wait; those of the steps before count no more."""
        waiting = self._table_memory(layer)
        return natural(waiting) if self.plan.head.step.micro else np.zeros((layer.inputs, waiting[0].size))

    def _table_memory(self, layer: Any) -> Array:
        start = self.plan.head.update.gradients + layer.weight.offset
        return panels_at(start, layer.weight.stride, layer.panels, layer.inputs, self.dtype)

    def _check_table(self, where: str, layer: Any, gradients: list[Gradient], waiting: Array) -> None:
        """Rows that occur are added to those that wait, by the task itself."""
        if self.plan.head.step.checking:
            return self._check_reduced(where, gradients) if gradients else None
        part = self.plan.head.step.group_part
        must, bound = waiting.copy(), 2.0 * self.eps * np.abs(waiting)
        for g in gradients:
            before, after = self.penalised.get(g.offset, (g.must, g.must))
            self._compare(where, _seen("the gradient", before, g.must, g.bound, self.dtype), g.offset)
            panel, o = divmod(g.offset - layer.weight.offset, layer.weight.stride)
            at = o // LINE, slice(panel * self.in_line, (panel + 1) * self.in_line)
            must[at] += part * after[0]
            bound[at] += part * g.bound[0] + 4.0 * self.eps * part * np.abs(after[0])
        output = Output("the gradient that waits", self._table_memory(layer), must, bound)
        self._compare_whole(where, output, layer)
        return None

    # What nobody may change, and what must be done.

    def _blocks(self) -> Blocks:
        """Everything that is laid out as the parameters, and running statistics, with copies."""
        update, size = self.plan.head.update, self.parameters.size
        found = {"the parameters": update.blocks.parameters, AVERAGE: update.blocks.average}
        found |= {f"moment {i}": update.blocks.each[i] for i in range(1, 4)} | {GRADIENTS: update.gradients}
        memory = {name: view(int(address), (size,), np.uint8) for name, address in found.items() if address}
        if self.states.size:
            memory[STATES] = view(self.states.address, (self.states.size,), np.uint8)
        return {name: (numbers, numbers.copy()) for name, numbers in memory.items()}

    def _check_blocks(self, where: str, before: Blocks, task: Any) -> None:
        """Refuse what has changed in lines that nobody has handed over."""
        head, updating = self.plan.head, task.name in ("update", "embedding_update")
        staged = bool(head.update.staged) and not updating
        own, table = np.zeros(self.parameters.size // LINE, bool), None
        for handed in self.handed if not head.step.checking else []:
            own[handed.offset // LINE : handed.offset // LINE + len(handed.gradients)] = True
        if task.name.startswith("embedding") and not head.step.checking:
            layers = self.plan.layers
            learned = self.layers[(task.layer - layers.address) // layers.size].weight
            table = slice(learned.offset // LINE, learned.offset // LINE + learned.stride // LINE * task.p1)
        for name, (memory, copy) in before.items():
            if np.array_equal(memory, copy):
                continue
            changed = (memory != copy).reshape(-1, LINE).any(axis=1)
            if name == STATES:
                changed &= task.name != "batch_norm_columns" or bool(head.step.checking)
            elif (name == GRADIENTS) == staged:
                changed &= ~own
            if table is not None and name == (GRADIENTS if staged else AVERAGE):
                changed[table] = False
            if changed.any():
                at = int(np.argmax(changed)) * LINE
                block = self.states if name == STATES else self.parameters
                raise PlanError(f"{where}: {name} of `{block.name_at(at)}` must stay as they were, got others")


def _seen(name: str, got: Array, must: Array, bound: Array, dtype: Any) -> Output:
    """Numbers that were handed over."""
    return Output(name, got.astype(dtype), must, bound)
