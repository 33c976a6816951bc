"""Optimisers by the names used in files; a new one is a line here."""

from __future__ import annotations

from fastbp.train.adam import Adam, AdamW, Lion, NAdam, RAdam
from fastbp.train.optimizers import SGD, Adadelta, Adagrad, Optimizer, RMSprop

OPTIMIZERS: dict[str, type[Optimizer]] = {
    made.kind: made for made in (SGD, Adagrad, RMSprop, Adadelta, Adam, AdamW, NAdam, RAdam, Lion)
}
