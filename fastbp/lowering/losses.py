"""Losses as ops: one for each output or member, behind each its join, if there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import JoinOp, LossOp
from fastbp.lowering.buffers import Buffer
from fastbp.lowering.gate_rules import added, times
from fastbp.lowering.rule import Use
from fastbp.lowering.walk import Lowering
from fastbp.spec.losses import Loss


def losses(
    lo: Lowering, heads: Sequence[Use], parts: Sequence[tuple[Loss, float]]
) -> tuple[list[LossOp], dict[int, Buffer]]:
    """Ops of the loss of each output, which counts as its weight says; their records, and the first cotangents."""
    records: list[LossOp] = []
    seeds: dict[int, Buffer] = {}
    joint = len(parts) > 1
    total = lo.row_numbers() if joint else 0
    for i, (use, (loss, weight)) in enumerate(zip(heads, parts, strict=True)):
        lo.turn = 1 + use.node.member if use.node.members > 1 else 0
        outputs = use.node.outputs
        d = lo.buffer(outputs)
        gain, shifts = (_lines(lo, numbers, outputs, d.panels) for numbers in loss.lines(outputs))
        first, second = loss.constants(outputs)
        op = LossOp(sums=lo.row_numbers(), gain=gain, shifts=shifts, setting_1=first, setting_2=second)
        d = replace(d, wrote=lo.op(loss.kernel, use.value.buffer, d, op))
        records.append(op)
        if joint:
            lo.op("join_losses", d, d, JoinOp(sums=total, weight=weight, output=i, last=i == len(parts) - 1))
            d = times(lo, d, weight)
        seeds[use.node.index] = added(lo, seeds[use.node.index], d) if use.node.index in seeds else d
    return records, seeds


def _lines(lo: Lowering, numbers: Any, width: int, panels: int) -> int:
    """Lines with one number per output, or the same for all."""
    address = lo.arena.take(panels * LINE)
    lines = view(address, (panels * lo.in_line,), lo.parameters.dtype)
    lines[:width] = numbers
    return address
