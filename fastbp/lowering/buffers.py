"""Output of lowering: buffers, op records, and layer records for the weight sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastbp.engine import ops
from fastbp.engine.blocks import Block, Slot
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import Arena
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import Op, RowsOp
from fastbp.kernels.records import Learned, Matrix, Trained
from fastbp.spec.graph import Graph, Node


@dataclass(frozen=True)
class Buffer(ops.Buffer):
    """A panel matrix with a bound on its values: max abs <= scale * (magnitude recorded by op `wrote`) + offset.

    `end_backward` uses the bound to prove gradients finite.
    """

    wrote: int = -1  # number of the op; -1: the user's data
    scale: float = 1.0
    offset: float = 1.0


@dataclass(frozen=True)
class Value:
    """The output of a node: its buffer, whether only one node reads that, and what its vjp needs besides input and
    output: a buffer or several, and addresses by name.
    """

    buffer: Buffer
    alone: bool = True
    saved: Buffer | None = None
    places: dict[str, int] = field(default_factory=dict)
    parts: tuple[Buffer, ...] = ()


@dataclass(frozen=True)
class Way:
    """Options of a parameter: factors of learning rate and weight decay, a penalty's kernel, and the factor of steps
    along an orthogonal matrix, 0 for others.
    """

    rate: float = 1.0
    decay: float = 0.0
    penalty: str = ""
    stretch: float = 0.0


Treatment = Mapping[str, Way | None]  # by parameter; None: not trained


def _offset(slot: Slot, node: Node, part: str) -> int:
    """Where a parameter begins that this node reads: its member's, where each has its own."""
    return slot.offset + node.member_of(part) * slot.pitch


class Records(ops.Ops):
    """Writes the records of one plan.

    Parameters
    ----------
    parameters, states : Block
    rows : int
        Rows of a buffer.
    training : bool
        Whether dropout drops and batch norm takes the batch's statistics.
    keeping : bool
        Whether a vjp or jvp will read the results of forward ops.
    treatment : mapping, optional
        By default every parameter is trained.
    counts : tuple of int
        Of rows with codes, which a first Linear multiplies as they are; see `Coded`. Empty where rows are in full.
    together : bool
        Whether sums over a batch are those of several ranks.
    shards : int
        Runs of rows whose sums are added in pairs.
    """

    kind = Buffer

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
        counts: tuple[int, ...] = (),
        together: bool = False,
        shards: int = 1,
    ) -> None:
        super().__init__(arena, parameters.dtype)
        self.graph = graph
        self.parameters = parameters
        self.states = states
        self.rows = rows
        self.counts = counts
        self.training, self.together = training, together
        self.levels = shards.bit_length()  # sums of shards that there are at once
        self.keeping = keeping
        self.treatment = treatment if treatment is not None else dict.fromkeys(parameters.slots, Way())
        self.transposed: dict[tuple[str, int], int] = {}  # name of weights, which of a stack -> their transposed copy
        self.transposes: list[Trained] = []  # source layer records of each, frozen ones too
        self.layers: list[Trained] = []
        self.reducers: list[str] = []  # the kernel that reduces the gradients of each layer
        self.more: list[tuple[Trained, Trained]] = []  # layer and another use of its parameters
        self.names: dict[int, str] = {}  # address -> name
        self.masked: set[int] = set()  # relus whose mask the next product applies

    # Buffers and records.

    def buffer(self, width: int) -> Buffer:
        """A new panel matrix for the plan's rows."""
        out: Buffer = self.new(self.rows, width)
        return out

    def row_numbers(self) -> int:
        """Memory for one number per row, in whole lines."""
        return self.arena.take((self.rows + 16) * self.itemsize)

    def lines(self, panels: int) -> int:
        """Memory for one line per panel."""
        return self.arena.take(panels * LINE)

    def made(self, kernel: str, source: Buffer, width: int, op: Op) -> Buffer:
        """A new buffer that an op writes from `source`, and notes the magnitude of."""
        out = self.buffer(width)
        return replace(out, wrote=self.op(kernel, source, out, op))

    def gather(self, width: int, count: int = 0) -> Buffer:
        """Gather rows of a user's array, each `count` times if given; every call sets the array's address."""
        out = self.buffer(width)
        self.op("gather_repeated" if count else "gather", self.of_user(width), out, RowsOp(count=count))
        return out

    def unit_rows(self, width: int, column: int = -1) -> Buffer:
        """Rows with a 1 in one column, the same for all or one after another."""
        out = self.buffer(width)
        self.op("unit_rows", out, out, RowsOp(column=column, count=width))
        return out

    def scatter(self, source: Buffer, columns: int = 0) -> None:
        """Scatter rows to a user's array; with `columns`, as columns of matrices with so many columns."""
        user = self.of_user(source.width, columns=columns > 0)
        self.op("scatter_columns" if columns else "scatter", source, user, RowsOp(count=columns))

    def place(self, node: Node, part: str) -> int:
        """Address of a parameter or state; 0 if the layer has none of that name."""
        name = node.parameter(part)
        for block in (self.parameters, self.states):
            if name in block.slots:
                return block.address + _offset(block.slots[name], node, part)
        return 0

    def matrix(self, node: Node, part: str) -> Matrix:
        """The panels of a parameter."""
        slot = self.parameters.slots[node.parameter(part)]
        return Matrix(start=self.parameters.address + _offset(slot, node, part), stride=slot.stride)

    def transposed_of(self, node: Node, part: str = "weight", which: int = 0) -> Matrix:
        """The panels of a transposed matrix, one of a stack if so; address 0 if they are not needed."""
        name = node.parameter(part)
        start = self.transposed.get((name, node.member_of(part) + which), 0)
        return Matrix(start=start, stride=self.parameters.slots[name].panels * self.in_line * LINE)

    def learned(self, node: Node, part: str, which: int = 0) -> Learned:
        """The record of a parameter, or one of a stack, for the weight sweep; offset -1 if there is none to train."""
        name = node.parameter(part)
        way = self.treatment[name] if name in self.parameters.slots else None
        if way is None:
            return Learned(offset=-1, stride=LINE, rate=1.0)
        slot = self.parameters.slots[name]
        penalty = kernel_address(way.penalty, self.real) if way.penalty else 0
        offset = _offset(slot, node, part) + which * slot.pitch
        words: Any = {"rate": way.rate, "decay": way.decay, "stretch": way.stretch}
        return Learned(offset=offset, stride=slot.stride, penalty=penalty, **words)

    def record(
        self,
        node: Node,
        kernel: str,
        x: Buffer,
        d: Buffer,
        parts: tuple[str, str],
        out: Buffer,
        layer: Trained | None = None,
        which: int = 0,
    ) -> None:
        """Add a layer to the weight sweep, with its trained parameters; `layer` has the kernel's other fields.

        Of a stack of parameters it is one, `which`, or if that is 0 with room for all of them all.
        """
        layer = Trained() if layer is None else layer
        layer.weight, layer.bias = (self.learned(node, part, which) for part in parts)
        trained = [
            self.parameters.slots[node.parameter(part)]
            for part, learned in zip(parts, (layer.weight, layer.bias), strict=True)
            if learned.offset >= 0
        ]
        first = trained[0] if trained else None
        layer.node, layer.x, layer.d = node.index, x, d
        layer.inputs = first.rows if first and layer.weight.offset >= 0 else 1
        layer.panels = max(d.panels, first.panels if first else 0)
        layer.x_op, layer.d_op, layer.out_op = x.wrote, d.wrote, out.wrote
        layer.x_scale, layer.x_offset = x.scale * d.scale, max(1.0, x.offset) * d.scale
        for known in self.layers if trained else ():
            if (known.weight.offset, known.bias.offset) == (layer.weight.offset, layer.bias.offset):
                self.more.append((known, layer))
                return
        self.layers.append(layer)
        self.reducers.append(kernel)

    def in_order(self) -> None:
        """Reverse the layers, recorded last to first; of uses that share parameters, the first leads."""
        uses = {id(record): [record] for record in self.layers}
        for known, record in self.more:
            uses[id(known)].insert(0, record)
        noted = [(uses[id(record)], reducer) for record, reducer in zip(self.layers, self.reducers, strict=True)]
        noted.reverse()
        noted.sort(key=lambda pair: pair[0][0].node)
        self.layers = [records[0] for records, _ in noted]
        self.reducers = [reducer for _, reducer in noted]
        self.more = [(records[0], record) for records, _ in noted for record in records[1:]]
        for records, _ in noted:
            for record in records if len(records) > 1 else ():  # each gets its share of the bound of their sum
                record.x_scale *= len(records)
                record.x_offset *= len(records)

    def put(self, moments: list[int], cut: Sequence[Any] = ()) -> None:
        """Give memory to all buffers; those that the weight sweep reads are held.

        Afterwards `buffers` are those in memory, and the ops have their addresses, as do those `cut` by columns.
        """
        layers = [*self.layers, *(other for _, other in self.more)]
        self.held = set().union(*map(ops.numbers_in, layers))
        places = self.places(self.ops, moments, set(range(len(self.buffers))))
        self.buffers = self.settle(places, [*self.ops, *cut, *layers])
        for buffer in self.buffers:
            self.names[buffer.address] = f"b{len(self.names)} ({buffer.width})"

    def is_trained(self, node: Node) -> bool:
        """Whether a node has trained parameters or running statistics."""
        names = [node.parameter(part) for part in node.layer.draws(node.inputs)]
        if self.training and node.layer.states(node.inputs):
            return True
        return any(self.treatment[name] is not None for name in names)
