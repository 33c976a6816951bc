"""The picture of the network in a file or a run's folder."""

from __future__ import annotations

from pathlib import Path

from fastbp.config.build import plan_of
from fastbp.config.text import CONFIGS, read
from fastbp.pictures.picture import Picture
from fastbp.runs.prediction import saved
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
        weight = subject.training_weight
        weight = None if weight is None else weight[rows]
        return net.draw(net.loss_and_gradients(train.X[rows], train.y[rows], subject.loss, weight)[1])
    return saved(path)[0].draw()
