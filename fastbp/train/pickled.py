"""Pickling of trainers: settings, and the state of a checkpoint."""

from __future__ import annotations

from typing import Any

from fastbp.model.network import Network
from fastbp.train.checkpoints import load_state, state_of
from fastbp.train.trainer import Trainer
from fastbp.train.treatment import Before


def parts(trainer: Trainer) -> Any:
    """The result of `Trainer.__reduce__`, a consistent snapshot."""
    with trainer._lock, trainer.net.lock:
        settings = settings_of(trainer)
        batch = trainer._batch_plan.batch if trainer._batch_plan else 0
        kept = ("validating", "units")
        more = {name: value for name, value in vars(trainer).items() if name in kept or name not in trainer._own}
        del more["_own"]
        plan = trainer._batch_plan
        more["_position"] = plan.position() if trainer._fit and plan is not None else trainer._position
        return rebuilt, (type(trainer), trainer.net, settings, *state_of(trainer), batch), more


def settings_of(trainer: Any) -> dict[str, Any]:
    """The arguments of a trainer like this one, which trains alone."""
    update = trainer._update
    threads, lr_factors, decay_factors, frozen, penalty = trainer._given
    return {
        "loss": trainer.loss,
        "optimizer": trainer.optimizer,
        "batch_size": trainer.batch_size,
        "seed": trainer.seed,
        "schedule": trainer._rates.schedule,
        "threads": threads,
        "clip_norm": update.clip_norm or None,
        "clip_value": update.clip_value or None,
        "accumulate": update.accumulate,
        "ema": None if update.average is None else update.average_keep,
        "lr_factors": lr_factors,
        "decay_factors": decay_factors,
        "frozen": frozen,
        "penalty": penalty,
        "drop_last": update.drop_last,
        "shards": trainer._shards,
        "schedules": Before({name: other.schedule for name, other in trainer._rates.others.items()}),
    }


def rebuilt(
    kind: type[Trainer], net: Network, settings: Any, arrays: Any, numbers: Any, batch: int, rows: Any = None
) -> Trainer:
    """The trainer of these `parts`, which was trained on these rows, if not all."""
    trainer = kind.__new__(kind)
    Trainer.__init__(trainer, net, **settings)  # a subclass may take other arguments
    load_state(trainer, arrays, numbers, rows)
    if batch:  # `run` goes on in its epoch
        trainer._new_plan(batch).go_on((numbers["place"], arrays["order"].copy()))
    return trainer
