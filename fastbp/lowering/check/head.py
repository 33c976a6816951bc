"""The head of a plan beside what the plan was made of and bound to.

Kernels and their twins both read it, so neither would find a number there that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.update import SCHEDULED
from fastbp.spec.coded import Coded

Found = tuple[str, float, float]  # what, what it must be, and what it is


def check_head(plan: Any, bound: bool) -> None:
    """Refuse a setting that the user did not set, and an address of something else; `bound`: of arrays, too."""
    places = [*_tables(plan)]
    if plan.head.training:
        places += [*_memory(plan), *(_arrays(plan) if bound else ())]
        for what, must, got in _numbers(plan):
            if must != got:
                raise PlanError(f"{what} in the head of `{plan.title}` must be {must:.9g}, got {got:.9g}")
    for what, must, got in places:
        if must != got:
            raise PlanError(f"the address of {what} in the head of `{plan.title}` must be {must:#x}, got {got:#x}")


def check_batch(plan: Any, shift: int, rate: float, at: int) -> None:
    """Refuse another learning rate than this, other factors than those of step `at` of the run, and another part of its
    step or of the loss than the batch has.
    """
    head, of = plan.head, f"of step {plan.head.step.number} of `{plan.title}`"
    step, data = head.step, head.data
    targets = plan.data[1]
    weights, weight = getattr(targets, "normalisers", None), float(data.rows)
    if weights is not None:
        rows = np.arange(data.rows) + shift - plan.first
        if data.index:
            rows = view(data.index, (data.rows,), np.uint32)
        weight = float(weights[rows].sum())
    mean = 1.0 / weight if weight > 0.0 else 0.0
    scale = 1.0 if plan.loss_spec.reduction == "sum" else mean
    done = data.cursor - step.micro * plan.batch
    group = min(plan.update.accumulate, -(-(data.total - done) // plan.batch))
    part = {name: float(factors[at]) for name, factors in plan.factors.items()}
    decay = part.get("weight_decay", 1.0) * plan.update.settings.get("decay", 0.0)
    for what, must, got, bound in (
        ("the weight decay", decay, RULES[plan.update.kernel].settings(head.update.settings.view(np.int64)).decay, 0.0),
        ("the factor of dropout", part.get("dropout", 0.0), head.step.dropping, 0.0),
        ("the factor of label smoothing", part.get("label_smoothing", 0.0), head.step.smoothing, 0.0),
        ("the learning rate", rate, float(head.update.factors[0]), 0.0),
        ("the factor of the loss", scale, step.scale, (data.rows + 4.0) * 2.0**-52),
        ("the part of a batch", 1.0 / group, step.group_part, 0.0),
    ):
        if not abs(must - got) <= bound * abs(must):
            raise PlanError(f"{what} {of} must be {must:.9g}, got {got:.9g}")


def _numbers(plan: Any) -> Iterator[Found]:
    """Settings of the optimiser, of the step and of the loss."""
    given, update, step = plan.update, plan.head.update, plan.head.step
    own = RULES[given.kernel].settings
    must, got = own(**given.settings), own(update.settings.view(np.int64))
    if step.decays:  # of the settings it is the one that changes from step to step
        must.decay, got.decay = must.decay, update.decay
    for name in own.fields:
        yield f"the setting `{name}` of `{given.kernel}`", getattr(must, name), getattr(got, name)
    yield "the decay of the running average", given.average_keep, update.average_keep
    yield "`clip_value`", given.clip_value, update.clip_value
    yield "`clip_norm`", given.clip_norm, update.clip_norm
    yield "the number of batches of a step", given.accumulate, step.accumulate
    yield "whether gradients wait", given.gradients is not None, update.staged
    yield "whether the loss is a sum", plan.loss_spec.reduction == "sum", step.summed
    yield "the number of rows of a batch", plan.batch, plan.head.data.batch
    order = len(plan._order) if plan.head.data.shuffle else 0
    left_out = order % plan.batch if given.drop_last and order > plan.batch else 0
    yield "the number of rows that an epoch leaves out", left_out, plan.head.data.dropped
    ways = [way for way in (given.treatment or {}).values() if way is not None]
    if ways and not given.only_keeps:
        yield "the largest factor of the learning rate", max(way.rate for way in ways), update.top_rate
        yield "the largest factor of the weight decay", max(way.decay for way in ways), update.top_decay
        yield "the largest factor of orthogonal steps", max(way.stretch for way in ways), update.top_stretch
        yield "whether there are penalties", any(way.penalty for way in ways), update.penalised


def _tables(plan: Any) -> Iterator[Found]:
    yield "the ops", plan.ops.address, plan.head.ops
    yield "the phases", plan.phases.address, plan.head.phases
    yield "the layers", plan.layers.address, plan.head.layers


def _memory(plan: Any) -> Iterator[Found]:
    """Where the parameters are, what goes with them from step to step, and rates and losses of a call."""
    given, update, step = plan.update, plan.head.update, plan.head.step
    yield "the parameters", plan.parameters.address, update.blocks.parameters
    for i in (1, 2, 3):
        moment = given.moments[i - 1].address if i <= len(given.moments) else 0
        yield f"moment {i}", moment, int(update.blocks.each[i])
    yield "the running average", given.average.address if given.average else 0, update.blocks.average
    yield "the gradients that wait", given.gradients.address if given.gradients else 0, update.gradients
    directions = given.directions.address if given.directions and given.turned else 0
    yield "the directions", directions, update.directions
    yield "the learning rates", plan.rates.ctypes.data, step.rates
    for name, place in SCHEDULED.items():
        yield (
            f"factors of {name}",
            plan.factors[name].ctypes.data if name in given.scheduled else 0,
            getattr(step, place),
        )
    yield "the losses of epochs", plan._epoch_losses.ctypes.data, step.losses


def _arrays(plan: Any) -> Iterator[Found]:
    """Where the rows of the data set are, their targets and weights, and their order."""
    x, y, chosen = plan.data
    array, data = x.narrow if isinstance(x, Coded) else x, plan.head.data
    yield "the rows", _row_0(array, plan.first), plan.ops.records[0].a.start
    for op, part in zip(plan._loss_ops, plan.of_losses(y), strict=True):
        yield "targets", _row_0(part.array, plan.first), plan.ops.records[op].targets.start
    for what, array, at in (("weights", y.weights, data.weights), ("normalisers", y.normalisers, data.normalisers)):
        yield f"the {what} of rows", 0 if array is None else _row_0(array, plan.first), at
    first = 0 if chosen is None else chosen.ctypes.data
    yield "the chosen rows", first, data.chosen
    yield "the order of the rows", plan._order.ctypes.data if data.shuffle else first, data.order


def _row_0(array: Any, first: int) -> int:
    """Where row 0 of an epoch is, or would be, if row `first` is the first of an array."""
    return int(array.ctypes.data - first * array.itemsize * (array.shape[1] if array.ndim == 2 else 1))
