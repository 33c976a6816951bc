"""Options of a step: which parameters are trained, at what rate, and clipping, penalties and averaging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastbp.engine.blocks import Block
from fastbp.errors import ConfigError, ConfigTypeError, brief
from fastbp.lowering.buffers import Treatment, Way
from fastbp.lowering.directions import stretch_of
from fastbp.lowering.update import Update
from fastbp.model.network import Network
from fastbp.spec.checks import chance, flag, from_zero, positive, whole
from fastbp.spec.formulas import formula_of, penalty_kernel
from fastbp.spec.graph import Graph
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.spec.losses import Loss
from fastbp.spec.members import check_average
from fastbp.train.catalogue import schedules_named
from fastbp.train.optimizers import Optimizer
from fastbp.train.schedules import Schedule


def _named(where: str, name: Any, net: Network) -> list[str]:
    """Parameters of a layer, or the one of this name, or those of a kind of layers."""
    found = net.graph.named(name) if isinstance(name, str) else []
    if not found:
        names = ", ".join(f"`{known}`" for known in net.parameters)
        raise ConfigError(where, f"must name layers or parameters, {names}", f"`{name}`")
    return found


def _factors(where: str, value: Any, net: Network) -> dict[str, float]:
    """Factor of every parameter; its own overrides its layer's, and that the one of the kind."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigTypeError(where, "must be a dict of layer or parameter to number", f"`{brief(value)}`")
    out: dict[str, float] = {}
    for name, factor in _in_order(value, net):
        number = from_zero(f"{where}[{name!r}]", factor)
        out.update(dict.fromkeys(_named(where, name, net), number))
    return out


def _in_order(value: Mapping[Any, Any], net: Network) -> list[tuple[Any, Any]]:
    """What is said of names, later ones overriding: of kinds of layers first, and of layers before parameters."""
    kinds = {node.layer.kind for node in net.graph.nodes} - set(net.graph.names())
    return sorted(value.items(), key=lambda item: (str(item[0]).split(".")[0] not in kinds, "." in str(item[0])))


def _penalties(value: Any, net: Network) -> dict[str, str]:
    """The kernel of every parameter's penalty; a single one applies to those with weight decay."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return dict.fromkeys(net.graph.decaying(), penalty_kernel(value))
    out: dict[str, str] = {}
    for name, given in _in_order(value, net):
        out.update(dict.fromkeys(_named("penalty", name, net), penalty_kernel(given)))
    return out


def penalty_data(value: Any) -> Any:
    """A penalty with functions as gates, for storage."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {name: formula_of("penalty", given, ("w",)) for name, given in value.items()}
    return formula_of("penalty", value, ("w",))


def loss_for(net: Network, value: str | Loss) -> Loss:
    """The loss for a network, checked against it."""
    if not net.parameters:
        raise ConfigError("net", "must have parameters to train, such as those of `Linear` layers")
    loss = loss_for_outputs(value, net.graph.splits)
    for (part, _), end in zip(loss.parts, net.graph.ends, strict=True):
        if part.contains and end.kind == part.contains:
            layer = type(end).__name__
            raise ConfigError(
                "loss",
                f"{part.kind} takes {part.takes} and does the {end.kind} itself",
                f"a network that ends in {layer}",
                hint=f"leave {layer} out",
            )
    if net.graph.members is not None:
        check_average(net.graph.members, loss.kind, net.outputs)
    return loss


class Before(dict[str, Any]):
    """Schedules of a trainer that was there before, of a pickle or a file: they stay, whatever has changed since."""


def others_of(given: Any, graph: Graph, loss: Loss, optimizer: Optimizer) -> dict[str, Schedule]:
    """The schedules of what is not the learning rate."""
    found = schedules_named(given)
    if "label_smoothing" in found and not any(hasattr(part, "label_smoothing") for part, _ in loss.parts):
        must = "must be of a loss that smooths labels, such as `fb.CrossEntropy(label_smoothing=0.1)`"
        raise ConfigError("schedules.label_smoothing", must, f"`{loss.kind}`")
    for name in () if isinstance(given, Before) else found:
        where = nothing_of(name, graph, loss, optimizer)
        if where:
            got = given[name] if isinstance(given[name], str) else brief(given[name])
            raise ConfigError(f"schedules.{name}", f"must be left out where {where}", f"`{got}`")
    return found


def nothing_of(name: str, graph: Graph, loss: Loss, optimizer: Optimizer) -> str:
    """Why a schedule of this would change nothing, if it would."""
    if name == "dropout":
        return "" if any(node.layer.kind == "dropout" for node in graph.nodes) else "no layer is `dropout`"
    if name == "weight_decay":
        return "" if getattr(optimizer, "weight_decay", 0.0) else "`optimizer.weight_decay` is 0"
    smooths = any(getattr(part, "label_smoothing", 0.0) for part, _ in loss.parts)
    return "" if smooths else "`loss.label_smoothing` is 0"


def treatment_of(
    net: Network, lr_factors: Any, decay_factors: Any, frozen: Any, penalty: Any, optimizer: Optimizer
) -> Treatment:
    """The options of each parameter."""
    if isinstance(frozen, str) or not isinstance(frozen, Sequence):
        raise ConfigTypeError("frozen", "must be a list of layers or parameters", f"`{brief(frozen)}`")
    rates = _factors("lr_factors", lr_factors, net)
    decays = _factors("decay_factors", decay_factors, net)
    still = {known for name in frozen for known in _named("frozen", name, net)}
    if still == set(net.parameters):
        raise ConfigError("frozen", "must leave a parameter to train")
    decaying = set(net.parameters) if getattr(optimizer, "decay_all", False) else net.graph.decaying()
    penalties = _penalties(penalty, net)
    turned = net.graph.hidden() if optimizer.turns else set()
    out: dict[str, Way | None] = {}
    for name in net.parameters:
        decay = decays.get(name, 1.0) if name in decaying or name in decays else 0.0
        stretch = stretch_of(net.parameters.block.slots[name].shape) if name in turned else 0.0
        way = Way(rates.get(name, 1.0), decay, penalties.get(name, ""), stretch)
        out[name] = None if name in still else way
    return out


def update_of(
    net: Network,
    optimizer: Optimizer,
    clip_norm: float | None,
    clip_value: float | None,
    accumulate: int,
    ema: float | None,
    treatment: Treatment,
    scheduled: Sequence[str] = (),
    drop_last: bool = False,
) -> Update:
    """The update of a step, with its memory."""
    least = float(np.finfo(net.dtype).tiny)
    eps = getattr(optimizer, "eps", least)
    if eps < least:  # it would be flushed to 0, and 0 / 0 is NaN
        where, must = f"{type(optimizer).__name__}.eps", f"must be at least `{least:g}` for `{net.dtype.name}`"
        raise ConfigError(where, must, f"`{eps:g}`")
    slots = net.parameters.block.slots
    limit = 0.0 if clip_norm is None else positive("clip_norm", clip_norm)
    batches = whole("accumulate", accumulate, 1)
    ways = [way for way in treatment.values() if way is not None]
    turned = any(way.stretch for way in ways)
    waits = limit or batches > 1 or turned or any(way.penalty for way in ways)
    update = Update(
        optimizer.kernel,
        optimizer.numbers(),
        tuple(Block(slots, net.dtype) for _ in range(optimizer.moments)),
        gradients=Block(slots, net.dtype) if waits else None,
        directions=Block(slots, net.dtype) if turned else None,
        average=None if ema is None else Block(slots, net.dtype),
        average_keep=0.0 if ema is None else chance("ema", ema),
        clip_norm=limit,
        clip_value=0.0 if clip_value is None else positive("clip_value", clip_value),
        accumulate=batches,
        treatment=treatment,
        scheduled=scheduled,
        drop_last=flag("drop_last", drop_last),
    )
    for block in update.moments:
        block.fill(optimizer.first_moments())
    if update.average is not None:
        with net.lock:
            update.average.copy_from(net.parameters.block)
    return update
