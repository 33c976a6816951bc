"""Gradients of a configuration's network against central differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastbp.config.build import Plan
from fastbp.runs.subject import subject_of

# Pairs of steps whose differences are combined to cancel the cubic error, (4 d₂ - d₁) / 3; the next pair is for kinks
# of the loss inside the first.
STEPS = ((1e-4, 5e-5), (1e-5, 5e-6), (1e-5, 5e-6), (2e-6, 1e-6), (2e-6, 1e-6))
GOOD = 1e-8


class Check(NamedTuple):
    """One parameter array: its derivative along a direction, both ways, and their relative difference."""

    name: str
    shape: tuple[int, ...]
    analytic: float
    numerical: float
    error: float


def gradient_check(plan: Plan, rows: int) -> list[Check]:
    """Check every parameter array along a random direction, in float64, batch norm and dropout as in training."""
    config = plan.config
    config.dtype = "float64"
    subject = subject_of(plan)
    train, loss, net = subject.parts["train"], subject.loss, subject.network()
    X, y = train.X[:rows], train.y[:rows]
    weight = None if train.weight is None else train.weight[:rows]
    _, gradients = net.loss_and_gradients(X, y, loss, weight, training=True)
    rng = np.random.default_rng(config.seed)

    def slope(name: str, before: Any, direction: Any, step: float) -> float:
        ends = []
        for sign in (1.0, -1.0):
            net.parameters[name] = before + sign * step * direction
            ends.append(net.loss_and_gradients(X, y, loss, weight, training=True)[0])
        return (ends[0] - ends[1]) / (2.0 * step)

    found = []
    for name, gradient in gradients.items():
        before, best = net.parameters[name], None
        for steps in STEPS:
            direction = rng.normal(size=gradient.shape)
            direction /= np.linalg.norm(direction)
            wide, narrow = (slope(name, before, direction, step) for step in steps)
            numerical = (4.0 * narrow - wide) / 3.0
            analytic = float((gradient * direction).sum())
            size = max(float(np.linalg.norm(gradient)), 1e-8)
            check = Check(name, gradient.shape, analytic, numerical, abs(analytic - numerical) / size)
            best = check if best is None or check.error < best.error else best
            if best.error < GOOD:
                break
        net.parameters[name] = before
        assert best is not None
        found.append(best)
    return found
