"""What a trainer has become, as arrays and numbers, so that another process goes on with the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastbp.engine.panels import Block
from fastbp.train.trainer import Trainer

Arrays = dict[str, Any]
Numbers = dict[str, Any]


def state_of(trainer: Trainer) -> tuple[Arrays, Numbers]:
    """Everything that the next step depends on, but for settings and data."""
    arrays = {f"{kind}/{name}": block.read(name) for kind, block in _blocks(trainer).items() for name in block.slots}
    plan = trainer._batch_plan
    place, order = plan.position() if plan is not None else (None, np.zeros(0, np.uint32))
    return {**arrays, "order": order}, {"steps_done": trainer.steps_done, "lr": trainer.optimizer.lr, "place": place}


def load_state(trainer: Trainer, arrays: Arrays, numbers: Numbers) -> None:
    """Put back what `state_of` returned; a `fit` with its history then goes on where that was taken."""
    for kind, block in _blocks(trainer).items():
        for name in block.slots:
            block.write(name, arrays[f"{kind}/{name}"])
    trainer.net.parameters.version += 1
    trainer.steps_done = numbers["steps_done"]
    trainer.optimizer = replace(trainer.optimizer, lr=numbers["lr"])
    trainer._position = None if numbers["place"] is None else (numbers["place"], arrays["order"])


def _blocks(trainer: Trainer) -> dict[str, Block]:
    update = trainer._update
    found = {"parameters": trainer.net.parameters.block, "states": trainer.net.states.block}
    found |= {f"moment {i}": block for i, block in enumerate(update.moments)}
    return found if update.average is None else {**found, "average": update.average}
