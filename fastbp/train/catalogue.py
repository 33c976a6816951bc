"""Optimisers by the names used in files: what their files define."""

from __future__ import annotations

from fastbp.spec.named import named
from fastbp.train import adam, optimizers
from fastbp.train.optimizers import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = {**named(optimizers), **named(adam)}
