"""The ops of a network's row plan as steps of one row: what each reads and writes, and which memory that has.

A plan's buffers hold blocks of rows and share memory by when these are read last. Here each buffer is one row, column n
of it number n of an array, and memory is shared anew: a Jacobian computes what does not depend on its unit vectors
once, and that must last until the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.memory import Arena, view
from fastbp.engine.ops import SHIFT, UNPLACED
from fastbp.kernels.fields import LINE
from fastbp.lowering.plans import rows_lowered
from fastbp.lowering.walk import Lowering
from fastbp.model.network import Network

WRITES_Y = ("layer_norm_forward", "rms_norm_forward", "batch_norm_forward", "wave_cosine")
READS_NOTHING = ("gather", "unit_rows", "branch_clear")


@dataclass(frozen=True)
class Place:
    """Where an operand begins: in which version of a buffer, and at which number of its row."""

    buffer: tuple[int, int]
    first: int


@dataclass
class Step:
    """An op, and the places of its operands by field."""

    op: Any
    places: dict[str, Place]
    reads: set[tuple[int, int]]
    writes: set[tuple[int, int]]


@dataclass
class Program:
    """The steps of one kind of plan.

    Attributes
    ----------
    kind : {"predict", "vjp", "jvp"}
    before, within : list of Step
        Those that do not depend on the cotangent or tangent, and those that do.
    given : dict
        Buffers that are an argument's memory, and its name.
    names : dict
        The array of every other buffer.
    sizes : dict
        Of these arrays.
    """

    lowering: Lowering
    kind: str
    before: list[Step] = field(default_factory=list)
    within: list[Step] = field(default_factory=list)
    given: dict[tuple[int, int], str] = field(default_factory=dict)
    names: dict[tuple[int, int], str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def lanes(self) -> int:
        return int(self.lowering.in_line)

    def width(self, buffer: tuple[int, int]) -> int:
        """Numbers of a buffer's row."""
        return int(self.lowering.buffers[buffer[0]].width)

    def room(self, place: Place, panels: int) -> int:
        """How many numbers so many panels have from a place on."""
        return min(panels * self.lanes, self.width(place.buffer) - place.first)

    def text(self, place: Place) -> str:
        """A place in C."""
        name = self.given.get(place.buffer) or self.names[place.buffer]
        return f"{name} + {place.first}" if place.first else name

    def matrix(self, start: int) -> tuple[str, NDArray[Any]]:
        """The name and the numbers of a matrix of weights, (inputs, outputs), by its address in a plan."""
        lo = self.lowering
        for (name, which), place in lo.transposed.items():
            if place == start:
                label, found = self._own(name, which)
                return f"{label} transposed", np.ascontiguousarray(found.T)
        offset = start - lo.parameters.address
        name = lo.parameters.name_at(offset)
        slot = lo.parameters.slots[name]
        return self._own(name, (offset - slot.offset) // slot.pitch)

    def _own(self, name: str, which: int) -> tuple[str, NDArray[Any]]:
        """One of a stack, or a matrix."""
        slot, found = self.lowering.parameters.slots[name], self.lowering.parameters.read(name)
        return (f"{name}[{which}]", found[which]) if slot.count > 1 else (name, found.reshape(slot.own))

    def line(self, start: int, width: int) -> tuple[str, NDArray[Any]]:
        """The name and the numbers of a line a panel, by its address."""
        lo = self.lowering
        panels = -(-width // self.lanes)
        numbers = view(start, (panels * self.lanes,), lo.parameters.dtype)[:width].copy()
        for block in (lo.parameters, lo.states):
            if block.address <= start < block.address + block.size:
                return block.name_at(start - block.address), numbers
        return "line", numbers


def program_of(net: Network, kind: str) -> Program:
    """The program of a plan of this kind; the network's lock is held."""
    parameters, states = net._parameters.block, net._states.block
    lowering, second = rows_lowered(net.graph, parameters, states, Arena(), kind, rows=1)
    out = Program(lowering, kind)
    versions: dict[int, int] = {}
    steps: list[Step] = []
    for at, op in enumerate(lowering.ops):
        if op.name == "gather":
            out.given[op_buffer(op.c.start)[0], 0] = "given" if at == second and second else "x"
            continue
        steps.append(_step(op, versions, out))
    last = steps[-1]
    source = last.places["a"]
    if last.op.name != "scatter":
        raise AssertionError(f"a plan ends with `{last.op.name}`")
    if source.buffer not in out.given and not source.first and out.width(source.buffer) == last.op.width:
        out.given[source.buffer] = "out"
        steps.pop()
    steps = _needed(steps, {source.buffer})
    moving = _moving(steps, {one for one, name in out.given.items() if name == "given"})
    for step in steps:
        late = step.op.name == "scatter" or (step.reads | step.writes) & moving
        (out.within if late else out.before).append(step)
    _share(out)
    return out


def op_buffer(address: int) -> tuple[int, int]:
    """The number of a buffer, and the bytes from its beginning."""
    return (address - UNPLACED) >> SHIFT, (address - UNPLACED) & ((1 << SHIFT) - 1)


def _step(op: Any, versions: dict[int, int], out: Program) -> Step:
    """An op with the versions of buffers that it reads and writes: one that works in place makes a new version."""
    found: dict[str, tuple[int, int]] = {}
    for name in ("a", "c", "y"):
        start = getattr(op, name).start if name in op.fields else 0
        if start >= UNPLACED:
            number, within = op_buffer(start)
            stride = out.lowering.buffers[number].stride
            first = within // stride * out.lanes + within % stride % LINE // out.lowering.itemsize
            found[name] = number, first
    makes = {"c", "y"} if op.name in WRITES_Y or op.name.startswith("branch_custom_slope_") else {"c"}
    takes = set() if op.name in READS_NOTHING else {"a", "y"} - makes
    places = {n: Place((b, versions.get(b, 0)), first) for n, (b, first) in found.items() if n in takes}
    reads = {place.buffer for place in places.values()}
    for name in makes & found.keys():
        number, first = found[name]
        if any(number == b for b, _ in reads):
            if first or not op.in_place:
                raise AssertionError(f"`{op.name}` reads the buffer that it writes")
            versions[number] = versions.get(number, 0) + 1
    places |= {n: Place((b, versions.get(b, 0)), first) for n, (b, first) in found.items() if n in makes}
    return Step(op, places, reads, {places[n].buffer for n in makes & places.keys()})


def _needed(steps: list[Step], wanted: set[tuple[int, int]]) -> list[Step]:
    """The steps that these buffers need, and the last one, if that writes none."""
    found: list[Step] = []
    for step in reversed(steps):
        if step.op.name == "scatter" or step.writes & wanted:
            wanted = wanted | step.reads
            found.append(step)
    return found[::-1]


def _moving(steps: Iterable[Step], first: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The buffers that depend on these."""
    found, steps = set(first), list(steps)
    while True:
        more = {b for step in steps if (step.reads | step.writes) & found for b in step.writes} - found
        if not more:
            return found
        found |= more


def _share(program: Program) -> None:
    """Give buffers memory: that of one which was last read before, or some of their own."""
    steps = [*program.before, *program.within]
    begin = len(program.before)
    uses: dict[tuple[int, int], list[int]] = {}
    for i, step in enumerate(steps):
        for buffer in step.reads | step.writes:
            if buffer not in program.given:
                uses.setdefault(buffer, []).append(i)
    until: dict[str, int] = {}
    for buffer, (first, *_) in sorted(uses.items(), key=lambda pair: (pair[1][0], pair[0])):
        last = uses[buffer][-1]
        if first < begin <= last:  # every turn of the loop reads it
            last = len(steps)
        width = program.width(buffer)
        free = sorted(
            (name for name in until if until[name] < first),
            key=lambda name: (program.sizes[name] < width, abs(program.sizes[name] - width)),
        )
        name = free[0] if free else f"b{len(until)}"
        until[name] = last
        program.sizes[name] = max(width, program.sizes.get(name, 0))
        program.names[buffer] = name
