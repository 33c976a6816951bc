"""Twins of what gradients do: penalties, optimisers, and gradients that are kept for later.

What an optimiser makes of a rounded number may be far from what it makes of the number: a root of a difference, a sign.
So the bound is what its twin makes of operands that are moved by a few units in the last place, plus as many of what
a parameter or moment moves by, and the rounding with which its new value is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import reference
from fastbp.engine.memory import view
from fastbp.kernels.fields import LINE
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.optimizers.muon import MuonSettings
from fastbp.kernels.records import Head, Worker
from fastbp.lowering.check.formulas import formula
from fastbp.lowering.check.values import Output

Array = NDArray[Any]
State = dict[str, Any]
ULPS = 8.0


@dataclass(frozen=True)
class Twin:
    """An optimiser's twin: its function, what its moments are called there, and what it is told of the settings."""

    step: Callable[..., tuple[Array, State]]
    moments: tuple[str, ...]
    told: Callable[[Any], dict[str, Any]]


def _betas(own: Any) -> dict[str, Any]:
    return {"betas": (own.beta_1, own.beta_2), "eps": own.eps}


def _rmsprop(*moments: str, momentum: bool = False, centered: bool = False) -> Twin:
    def told(own: Any) -> dict[str, Any]:
        return {"alpha": own.alpha, "eps": own.eps, "momentum": own.momentum if momentum else 0.0, "centered": centered}

    return Twin(reference.rmsprop, moments, told)


OPTIMIZERS = {
    "sgd": Twin(reference.sgd, (), lambda own: {}),
    "momentum": Twin(reference.sgd, ("m",), lambda own: {"momentum": own.momentum}),
    "nesterov": Twin(reference.sgd, ("m",), lambda own: {"momentum": own.momentum, "nesterov": True}),
    "adagrad": Twin(reference.adagrad, ("v",), lambda own: {"eps": own.eps, "lr_decay": own.slowing}),
    "rmsprop": _rmsprop("v"),
    "rmsprop_momentum": _rmsprop("v", "m", momentum=True),
    "rmsprop_centered": _rmsprop("v", "mean", centered=True),
    "rmsprop_centered_momentum": _rmsprop("v", "mean", "m", momentum=True, centered=True),
    "adam": Twin(reference.adam, ("m", "v"), _betas),
    "adam_amsgrad": Twin(reference.adam, ("m", "v", "v_max"), lambda own: {**_betas(own), "amsgrad": True}),
    "nadam": Twin(reference.nadam, ("m", "v"), lambda own: {**_betas(own), "momentum_decay": own.momentum_decay}),
    "radam": Twin(reference.radam, ("m", "v"), _betas),
    "adadelta": Twin(reference.adadelta, ("v", "u"), lambda own: {"rho": own.rho, "eps": own.eps}),
    "muon": Twin(reference.adam, ("m", "v"), _betas),  # of what is no hidden matrix; see `along`
    "lion": Twin(reference.lion, ("m",), lambda own: {"betas": (own.beta_1, own.beta_2)}),
}


@dataclass
class Lines:
    """One call over lines of parameters: a kernel's record is a head, its third and fourth argument where they are."""

    name: str
    head: Any
    me: Any
    offset: int
    lines: int
    dtype: Any

    @classmethod
    def at(cls, name: str, head: int, me: int, offset: int, lines: int, dtype: Any) -> Lines:
        records = Head(view(head, (Head.size,), np.int64)), Worker(view(me, (Worker.size,), np.int64))
        return cls(name, *records, offset, lines, dtype)

    def memory(self, address: int) -> Array:
        """These lines of a block, one a row."""
        return view(address, (self.lines, LINE // self.dtype.itemsize), self.dtype)

    def read(self, address: int) -> Array:
        return self.memory(address).astype(np.float64)

    def gradients(self) -> Array:
        return self.read(self.me.gradients)

    def blocks(self) -> list[int]:
        """Where these lines are among the parameters and in each moment."""
        return [int(block) + self.offset for block in self.head.update.blocks.each[:4]]

    def out(self, name: str, address: int, must: Array, bound: Array) -> Output:
        return Output(name, self.memory(address), must, bound)


def penalty(lines: Lines) -> list[Output]:
    """The slope of a user's formula joins the gradient."""
    eps = float(np.finfo(lines.dtype).eps)
    g, p = lines.gradients(), lines.read(lines.blocks()[0])
    ((slope, off),) = formula(lines.name, eps, p)
    return [lines.out("the gradient", lines.me.gradients, g + slope, off + eps * (np.abs(g) + np.abs(slope)))]


def keep(lines: Lines) -> list[Output]:
    """The gradient, or a part of it beside those of the batches before, goes where gradients wait."""
    step, eps = lines.head.step, float(np.finfo(lines.dtype).eps)
    at = lines.head.update.gradients + lines.offset
    before = lines.read(at) if step.micro else np.zeros((lines.lines, 1))
    part = lines.gradients() * step.group_part
    return [lines.out("the gradient that waits", at, before + part, 2.0 * eps * (np.abs(before) + np.abs(part)))]


def update(lines: Lines) -> list[Output]:
    """One step of an optimiser."""
    if lines.me.stretch:
        return along(lines)
    twin, head, me = OPTIMIZERS[lines.name], lines.head, lines.me
    own = RULES[lines.name].settings(head.update.settings.view(np.int64))
    decay, decoupled = own.decay, bool(own.decoupled)
    addresses, eps = lines.blocks()[: 1 + len(twin.moments)], float(np.finfo(lines.dtype).eps)
    rate, weight_decay = float(head.update.factors[0]) * me.rate, decay * me.decay
    known: State = {"t": head.step.number}
    if lines.name == "nadam":
        known["mu"] = float(np.prod([_mu(own, t) for t in range(1, head.step.number + 1)]))

    def step(p: Array, g: Array, *moments: Array) -> list[Array]:
        state = known | dict(zip(twin.moments, moments, strict=True))
        settings = {"lr": rate, "weight_decay": weight_decay, "decoupled": decoupled, **twin.told(own)}
        theta, after = twin.step(p, g, state, **settings)
        return [theta, *(after[name] for name in twin.moments)]

    p, *moments = (lines.read(address) for address in addresses)
    operands = [p, lines.gradients(), *moments]
    must = step(*operands)
    before = [p * (1.0 - rate * weight_decay) if decoupled else p, *moments]
    bounds = [stored(new, eps) + ULPS * eps * np.abs(new - old) for new, old in zip(must, before, strict=True)]
    bounds[0] = bounds[0] + (2.0 * eps * np.abs(p) if decoupled and weight_decay else 0.0)
    lost = ULPS * float(np.finfo(np.float64).eps) * _lost(own, head.step.number + 1)
    bounds[0] = bounds[0] + lost * np.abs(must[0] - before[0])
    sizes = [np.abs(operand) for operand in operands]
    sizes[1] = sizes[1] + (0.0 if decoupled else weight_decay) * sizes[0]
    for i, size in enumerate(sizes[1:], 1):
        for way in (-ULPS, ULPS):
            moved = step(*operands[:i], operands[i] + way * eps * size, *operands[i + 1 :])
            bounds = [bound + np.abs(m - new) for bound, m, new in zip(bounds, moved, must, strict=True)]
    names = ["the parameter", *(f"moment {i}" for i in range(1, 4))]
    return [lines.out(*each) for each in zip(names, addresses, must, bounds, strict=False)]


def along(lines: Lines) -> list[Output]:
    """A step along an orthogonal matrix, which is there."""
    head, me, eps = lines.head, lines.me, float(np.finfo(lines.dtype).eps)
    own = MuonSettings(head.update.settings.view(np.int64))
    rate, part = float(head.update.factors[0]) * own.ratio * me.rate, 1.0 - own.momentum
    p, m = (lines.read(address) for address in lines.blocks()[:2])
    g, o = lines.gradients(), lines.read(head.update.directions + lines.offset)
    moved = rate * me.stretch * o
    must = p * (1.0 - rate * own.decay * me.decay) - moved
    mean = m + part * (g - m)
    bounds = 4.0 * eps * (np.abs(p) + np.abs(moved)), 4.0 * eps * (np.abs(m) + part * np.abs(g))
    places = lines.blocks()[:2]
    return [lines.out("the parameter", places[0], must, bounds[0]), lines.out("moment 1", places[1], mean, bounds[1])]


def _lost(own: Any, t: int) -> float:
    """How many times as far off 1 - βᵗ is as βᵗ, which either side multiplies in float64 in an order of its own."""
    return sum(1.0 / (1.0 - beta**t) for beta in (getattr(own, "beta_1", 0.0), getattr(own, "beta_2", 0.0)))


def _mu(own: Any, t: int) -> float:
    return float(own.beta_1 * (1.0 - 0.5 * 0.96 ** (t * own.momentum_decay)))


def average(before: Array, after: Array, keep_part: float, eps: float) -> tuple[Array, Array]:
    """The running average, moved towards the parameters after their update, and how far that may be off."""
    must = after + keep_part * (before - after)
    return must, stored(must, eps) + 4.0 * eps * np.abs(keep_part * (before - after))


def stored(numbers: Array, eps: float) -> Array:
    """How far a number may be off that is only rounded, by its kernel and by its twin."""
    return eps * np.abs(numbers)
