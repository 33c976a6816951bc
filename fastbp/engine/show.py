"""A plan as text: phases, their ops or tasks with inputs and outputs, and how each phase ends."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

from fastbp.kernels import records
from fastbp.kernels.fields import Field, Part, Real, Word
from fastbp.kernels.ops import EPILOGUE_RELU, EPILOGUE_RELU_VJP, Op, Turn
from fastbp.kernels.records import Phase, Piece, Tile

ENDS = {value: name for name, value in vars(records).items() if name.startswith("END_")}
SAID = {"kernel", "number", "width", "panels", "first_panel", "c", "name"}  # shown in their own columns, or not at all
PLACES = 2**32  # numbers from here on are addresses
CHOICES = {"epilogue": {EPILOGUE_RELU: "relu", EPILOGUE_RELU_VJP: "relu_vjp"}}


class Printer:
    """Prints a plan; `names` maps addresses to names."""

    def __init__(self, plan: Any) -> None:
        self.plan = plan
        self.names: dict[int, str] = dict(plan.names)
        for block in plan.blocks:
            for name, slot in block.slots.items():
                for i in range(slot.count):
                    own = f"{name}[{i}]" if slot.count > 1 else name
                    self.names[block.address + slot.offset + i * slot.each] = own

    def text(self) -> str:
        plan = self.plan
        lines = [
            f"{plan.title}, {plan.workers} workers, {plan.real}" if plan.workers > 1 else f"{plan.title}, {plan.real}"
        ]
        ops = iter(plan.ops.records)
        for number, phase in enumerate(plan.phases.records):
            end = ENDS[phase.end].removeprefix("END_").lower()
            if phase.kind == records.ROW_PHASE:
                groups = [[next(ops) for _ in range(phase.op_count)] for _ in range(phase.groups)]
                lines.append(f"phase {number}  {self._extent(phase)}  -> {end}")
                lines += self._ops(groups)
            else:
                lines.append(f"phase {number}  {self._tasks(phase)}  -> {end}")
        return "\n".join(lines)

    def _extent(self, phase: Phase) -> str:
        columns = f", {phase.groups} groups of columns" if phase.groups > 1 else ""
        return f"rows in blocks of {phase.block}{columns}"

    def _ops(self, groups: list[list[Op]]) -> list[str]:
        """The ops of a phase; an op cut by columns is shown once, with the panels of all its parts."""
        rows = []
        for parts in zip(*groups, strict=True):
            op = parts[0]
            rows.append((str(op.number), op.name, self._reads(op), self._matrix("c", op.c), self._settings(op)))
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        return [
            f"  {number:>{wide[0]}} {name:{wide[1]}}  {reads:{wide[2]}} -> {wrote:{wide[3]}}  {told}".rstrip()
            for number, name, reads, wrote, told in rows
        ]

    def _matrix(self, field: str, matrix: Any) -> str:
        """The name of a matrix's buffer; for a user's array, that of the field."""
        return self.names.get(matrix.start, {"a": "X", "c": "Y"}.get(field, field))

    def _reads(self, op: Op) -> str:
        found = []
        for name, field in op.fields.items():
            if name in SAID:
                continue
            value = getattr(op, name)
            if isinstance(field, Part):
                if value.start or name == "a":
                    found.append(self._matrix(name, value))
            elif isinstance(field, Word) and value in self.names:
                found.append(self.names[value])
        return ", ".join(found)

    def _settings(self, op: Op) -> str:
        """The settings of an op."""
        told = {name: getattr(op, name) for name, field in op.fields.items() if self._is_setting(op, name, field)}
        return " ".join(f"{name} {CHOICES.get(name, {}).get(value, f'{value:g}')}" for name, value in told.items())

    def _is_setting(self, op: Op, name: str, field: Field) -> bool:
        if name in SAID or isinstance(field, Part) or not isinstance(field, Word | Real):
            return False
        value = getattr(op, name)
        return bool(value) and value not in self.names and abs(value) < PLACES

    def _tasks(self, phase: Phase) -> str:
        """How many tiles each parameter has, by kernel."""
        table = next((table for table in self.plan.tasks if table.address == phase.tasks), None)
        if table is None:
            return "no tasks"
        if isinstance(table.records[0], Piece):
            return f"{table.records[0].name}: {len(table.records)} pieces of the gradients"
        if isinstance(table.records[0], Turn):
            return f"{table.records[0].name}: {len(table.records)} parts of directions"
        found = []
        for kernel, tiles in groupby(sorted(table.records, key=lambda tile: tile.name), key=lambda tile: tile.name):
            counts = Counter(self._layer(tile) for tile in tiles)
            found.append(f"{kernel}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        return "; ".join(found)

    def _layer(self, tile: Tile) -> str:
        layers = self.plan.layers
        layer = layers.records[(tile.layer - layers.address) // layers.size]
        offset = layer.weight.offset if layer.weight.offset >= 0 else layer.bias.offset
        return self.plan.parameters.name_at(offset) if offset >= 0 else f"statistics of layer {layer.node}"
