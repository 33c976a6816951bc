"""The state of a trainer as arrays and numbers, from which another process continues with the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fastbp.engine.blocks import Block
from fastbp.errors import CheckpointError
from fastbp.train.trainer import Trainer

Arrays = dict[str, Any]
Numbers = dict[str, Any]


def state_of(trainer: Trainer) -> tuple[Arrays, Numbers]:
    """Everything that the next step depends on, except settings and data."""
    with trainer._lock, trainer.net.lock:
        blocks = state_blocks(trainer)
        arrays = {f"{kind}/{name}": block.read(name) for kind, block in blocks.items() for name in block.slots}
        plan = trainer._batch_plan
        place, order = plan.position() if plan is not None else (None, np.zeros(0, np.uint32))
        rates = {name: getattr(trainer.optimizer, name) for name in trainer.optimizer.rates}
        numbers: Numbers = {"steps_done": trainer.steps_done, **rates, "place": place}
        if plan is not None and plan.feed is not None:
            numbers["windowed"] = True  # the order is known by seed and epoch
        if trainer.net.parameters.waiting:
            numbers["waiting"] = sorted(trainer.net.parameters.waiting)
    return {**arrays, "order": order}, numbers


def load_state(trainer: Trainer, arrays: Arrays, numbers: Numbers, rows: Any = None) -> None:
    """Restore the result of `state_of`; a `fit` with its history then resumes from there.

    `rows` are those that it is trained on, if they are not all.

    Raises
    ------
    CheckpointError
        If it is not the state of such a trainer; then nothing has changed.
    """
    blocks = {f"{kind}/{name}": (block, name) for kind, block in state_blocks(trainer).items() for name in block.slots}
    missing = [name for name in (*blocks, "order") if name not in arrays]
    if missing:
        raise CheckpointError(f"the state of a trainer must have `{missing[0]}`")
    others = [name for name in arrays if name not in blocks and name != "order" and not name.startswith("best/")]
    if others:
        raise CheckpointError(f"the state of a trainer must have nothing else, got `{others[0]}`")
    squares = {f"moment {i}" for i in trainer.optimizer.squares}
    for name, (block, own) in blocks.items():
        array, slot = arrays[name], block.slots[own]
        if array.shape != slot.shape or array.dtype != block.dtype:
            wanted = f"shape `{slot.shape}` and dtype `{block.dtype}`"
            raise CheckpointError(name, f"must have {wanted}", f"`{array.shape}` and `{array.dtype}`")
        if not np.isfinite(array).all():
            raise CheckpointError(name, "must be finite", "NaN or infinity")
        if (name.partition("/")[0] in squares or name.endswith(".running_var")) and (array < 0.0).any():
            raise CheckpointError(name, "must be at least 0", f"`{array.min()}`")
    _check_position(numbers["place"], arrays["order"], rows, numbers.get("windowed", False))
    with trainer._lock, trainer.net.parameters.changing():
        for name, (block, own) in blocks.items():
            block.write(own, arrays[name])
        trainer.net.parameters.waiting = set(numbers.get("waiting", ())) & set(trainer.net.parameters)
        trainer.steps_done = numbers["steps_done"]
        trainer.optimizer = replace(trainer.optimizer, **{name: numbers[name] for name in trainer.optimizer.rates})
        trainer._position = None if numbers["place"] is None else (numbers["place"], arrays["order"])


def _check_position(place: Any, order: Any, chosen: Any, windowed: bool) -> None:
    """Compiled code does not check the order of rows; `windowed` ones have none that is kept."""
    rows = order.size
    wanted = np.arange(rows) if chosen is None or not rows else np.sort(chosen)
    if order.dtype != np.uint32 or order.ndim != 1 or not np.array_equal(np.sort(order), wanted):
        raise CheckpointError("order", "must be a permutation of the rows")
    if place is not None and not (windowed and not rows) and not 0 <= place["cursor"] < max(rows, 1):
        raise CheckpointError("cursor", f"must lie in an epoch of {rows} rows", f"`{place['cursor']}`")


def state_blocks(trainer: Trainer) -> dict[str, Block]:
    """What training changes, by kind."""
    update = trainer._update
    found = {"parameters": trainer.net.parameters.block, "states": trainer.net.states.block}
    found |= {f"moment {i}": block for i, block in enumerate(update.moments)}
    return found if update.average is None else {**found, "average": update.average}
