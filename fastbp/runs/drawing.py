"""The picture of the network in a file or a run's folder."""

from __future__ import annotations

from pathlib import Path

from fastbp.config.build import plan_of
from fastbp.config.text import CONFIGS, read
from fastbp.errors import CheckpointError
from fastbp.model.files import load
from fastbp.pictures.picture import Picture
from fastbp.runs.subject import subject_of


def drawing(path: str) -> Picture:
    """Draw a network's file, the best network of a run's folder, or a configuration's network before its first step.

    Layers of a configuration show the norms of their gradients over the first batch.
    """
    file = Path(path)
    if file.suffix in CONFIGS:
        subject = subject_of(plan_of(read(file)))
        net, train = subject.network(), subject.parts["train"]
        rows = slice(0, subject.plan.config.trainer.batch_size)
        weight = None if train.weight is None else train.weight[rows]
        return net.draw(net.loss_and_gradients(train.X[rows], train.y[rows], subject.loss, weight)[1])
    if file.is_dir():
        file = file / "best.safetensors"
    try:
        return load(file).draw()
    except OSError as error:
        raise CheckpointError(str(error)) from None
