"""What lowering writes: buffers, op records over them, and records of layers for the weight sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.engine.panels import Block
from fastbp.engine.plan import Words, double
from fastbp.kernels import layout as at
from fastbp.kernels.vector import LINE
from fastbp.model.graph import Graph, Node


@dataclass(frozen=True)
class Buffer:
    """A panel matrix, and what is known of the magnitudes in it: at most scale times what an op noted, plus offset.

    Of a cotangent or a tangent, `kept` says that somebody else reads it too, so nobody may write over it.
    """

    address: int
    stride: int
    width: int
    panels: int
    wrote: int = -1  # number of that op; -1: the user's data
    scale: float = 1.0
    offset: float = 1.0
    kept: bool = False


@dataclass(frozen=True)
class Value:
    """What a node puts out: its buffer, whether a later op may overwrite that (no vjp reads it), and what its own vjp
    needs beside input and output: a buffer, and addresses by name.
    """

    buffer: Buffer
    free: bool = False
    saved: Buffer | None = None
    places: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """How a parameter is trained: factors of the learning rate and the weight decay, and a penalty's kernel."""

    rate: float = 1.0
    decay: float = 0.0
    penalty: str = ""


Treatment = Mapping[str, Way | None]  # by parameter; None: it is not trained


class Records:
    """Writes the records of one plan.

    Parameters
    ----------
    parameters, states : Block
    rows : int
        Rows of a buffer.
    training : bool
        Whether dropout drops and batch norm takes the batch's statistics.
    keeping : bool
        Whether a vjp or jvp will read what the forward ops leave.
    treatment : mapping, optional
        By default every parameter is trained.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Block,
        states: Block,
        rows: int,
        arena: Arena,
        *,
        training: bool = False,
        keeping: bool = True,
        treatment: Treatment | None = None,
    ) -> None:
        self.graph = graph
        self.parameters = parameters
        self.states = states
        self.real = parameters.dtype.name
        self.itemsize = parameters.dtype.itemsize
        self.in_line = LINE // self.itemsize
        self.arena = arena
        self.rows = rows
        self.training = training
        self.keeping = keeping
        self.treatment = treatment if treatment is not None else dict.fromkeys(parameters.slots, Way())
        self.transposed: dict[str, int] = {}  # home of a node -> address of its transposed weights
        self.transposes: list[dict[int, int]] = []  # a layer record for each, frozen ones too, to fill it from
        self.ops: list[Words] = []
        self.layers: list[Words] = []
        self.reducers: list[str] = []  # the kernel of each that takes its gradients
        self.more: list[tuple[Words, Words]] = []  # a layer's record, and one of another use of its parameters
        self.masked: set[int] = set()  # relus whose mask the product behind them has applied

    # Buffers and records.

    def buffer(self, width: int) -> Buffer:
        """A new panel matrix; an odd number of lines a panel spreads panels over all of L1."""
        panels = -(-width // self.in_line)
        stride = (self.rows | 1) * LINE
        return Buffer(self.arena.take(panels * stride), stride, width, panels)

    def row_numbers(self) -> int:
        """Room for one number a row, in whole lines."""
        return self.arena.take((self.rows + 16) * self.itemsize)

    def lines(self, panels: int) -> int:
        """Room for one line a panel."""
        return self.arena.take(panels * LINE)

    def op(self, kernel: str, source: Buffer, target: Buffer, **words: int) -> int:
        """Append an op that reads `source` and writes `target`; return its number."""
        record = {
            at.KERNEL: kernel_address(kernel, self.real),
            at.NUMBER: len(self.ops),
            at.A: source.address,
            at.A_STRIDE: source.stride,
            at.WIDTH: source.width,
            at.C: target.address,
            at.C_STRIDE: target.stride,
            at.PANELS: target.panels,
        }
        record.update({getattr(at, name.upper()): value for name, value in words.items()})
        self.ops.append(record)
        return len(self.ops) - 1

    def gather(self, width: int) -> Buffer:
        """Bring rows of a user's array in; their address is set for each call."""
        out = self.buffer(width)
        user = Buffer(0, width * self.itemsize, width, out.panels)
        self.op("gather", user, out)
        return out

    def gather_repeated(self, width: int, count: int) -> Buffer:
        """The same, each row `count` times."""
        out = self.buffer(width)
        user = Buffer(0, width * self.itemsize, width, out.panels)
        self.op("gather_repeated", user, out, copy_count=count)
        return out

    def unit_rows(self, width: int, column: int = -1) -> Buffer:
        """Rows with a 1 in one column, the same for all or one after another."""
        out = self.buffer(width)
        self.op("unit_rows", out, out, copy_from=column, copy_count=width)
        return out

    def over(self, d: Buffer, width: int) -> Buffer:
        """Where an op may write that reads a cotangent or tangent number by number: over it, if no other reads it."""
        return self.buffer(width) if d.kept or d.width != width else d

    def scatter(self, source: Buffer) -> None:
        """Bring rows out to a user's array."""
        stride = source.width * self.itemsize
        self.op("scatter", source, Buffer(0, stride, source.width, source.panels))

    def scatter_columns(self, source: Buffer, columns: int) -> None:
        """Bring rows out as columns of matrices, `columns` of each."""
        self.op("scatter_columns", source, Buffer(0, 0, source.width, source.panels), copy_count=columns)

    def place(self, node: Node, part: str) -> int:
        """Address of a parameter or a state; 0 where the layer has none of that name."""
        name = node.parameter(part)
        for block in (self.parameters, self.states):
            if name in block.slots:
                return block.address + block.slots[name].offset
        return 0

    def record(
        self, node: Node, kernel: str, x: Buffer, d: Buffer, parts: tuple[str, str], out: Buffer, **words: int
    ) -> None:
        """Note a layer for the weight sweep: parameters and those beside them, as far as they are trained."""
        first, second = (node.parameter(part) for part in parts)
        slots = self.parameters.slots
        weight = slots[first] if first in slots and self.treatment[first] is not None else None
        bias = slots[second] if second in slots and self.treatment[second] is not None else None
        shape = weight or bias
        way, bias_way = self.treatment.get(first) or Way(), self.treatment.get(second) or Way()
        record = {
            at.LAYER_NODE: node.index,
            at.LAYER_X: x.address,
            at.LAYER_X_STRIDE: x.stride,
            at.LAYER_D: d.address,
            at.LAYER_D_STRIDE: d.stride,
            at.LAYER_INPUTS: weight.shape[0] if weight and len(weight.shape) == 2 else 1,
            at.LAYER_PANELS: max(d.panels, shape.panels if shape else 0),
            at.LAYER_OFFSET: weight.offset if weight else -1,
            at.LAYER_STRIDE: weight.stride if weight else LINE,
            at.LAYER_BIAS: bias.offset if bias else -1,
            at.LAYER_X_OP: x.wrote,
            at.LAYER_D_OP: d.wrote,
            at.LAYER_X_SCALE: double(x.scale * d.scale),
            at.LAYER_X_OFFSET: double(max(1.0, x.offset) * d.scale),
            at.LAYER_OUT_OP: out.wrote,
            at.LAYER_RATE: double(way.rate),
            at.LAYER_DECAY: double(way.decay),
            at.LAYER_PENALTY: kernel_address(way.penalty, self.real) if way.penalty else 0,
            at.LAYER_BIAS_RATE: double(bias_way.rate),
            at.LAYER_BIAS_DECAY: double(bias_way.decay),
            at.LAYER_BIAS_PENALTY: kernel_address(bias_way.penalty, self.real) if bias_way.penalty else 0,
        }
        record.update({getattr(at, f"LAYER_{name.upper()}"): value for name, value in words.items()})
        if shape is not None:
            for known in self.layers:
                if (known[at.LAYER_OFFSET], known[at.LAYER_BIAS]) == (record[at.LAYER_OFFSET], record[at.LAYER_BIAS]):
                    self.more.append((known, record))
                    return
        self.layers.append(record)
        self.reducers.append(kernel)

    def in_order(self) -> None:
        """Bring layers, noted from the last to the first, into their order; of uses that share, the first leads."""
        uses = {id(record): [record] for record in self.layers}
        for known, record in self.more:
            uses[id(known)].insert(0, record)
        noted = [(uses[id(record)], reducer) for record, reducer in zip(self.layers, self.reducers, strict=True)]
        noted.reverse()
        noted.sort(key=lambda pair: pair[0][0][at.LAYER_NODE])
        self.layers = [records[0] for records, _ in noted]
        self.reducers = [reducer for _, reducer in noted]
        self.more = [(records[0], record) for records, _ in noted for record in records[1:]]
        for records, _ in noted:
            for record in records if len(records) > 1 else ():  # each may bring its part of what their sum may be
                for word in (at.LAYER_X_SCALE, at.LAYER_X_OFFSET):
                    record[word] = double(len(records) * float(np.int64(record[word]).view(np.float64)))

    def is_trained(self, node: Node) -> bool:
        """Whether the weight sweep has anything to do for a node."""
        names = [node.parameter(part) for part in node.layer.draws(node.inputs)]
        if self.training and node.layer.states(node.inputs):
            return True
        return any(self.treatment[name] is not None for name in names)
