"""Loss and metrics of networks on rows, in the units of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastbp.config.build import plan_of
from fastbp.config.text import read
from fastbp.data.prepare import Part
from fastbp.data.recipe import Recipe
from fastbp.errors import ConfigError
from fastbp.model.network import Network
from fastbp.runs.subject import subject_of
from fastbp.train.history import History
from fastbp.train.metrics import evaluate


def score(net: Network, part: Part, loss: Any, metrics: list[str], recipe: Recipe) -> dict[str, float]:
    """Loss and metrics of a network on rows."""
    found = {"loss": net.evaluate(part.X, part.y, loss, part.weight)}
    raw, y = net.predict(part.X), part.y
    if recipe.outputs.task == "numbers":
        center, spread = recipe.outputs.center, recipe.outputs.spread
        width = y.shape[1]  # after which some losses have log variances
        raw = np.hstack([raw[:, :width] * spread + center, raw[:, width:]])
        y = y * spread + center
    ignored = getattr(loss, "ignore_index", None)
    weight = part.weight
    if ignored is not None and y.ndim == 1:
        kept = y != ignored
        raw, y, weight = raw[kept], y[kept], None if weight is None else weight[kept]
    for name in metrics:
        found[name] = float(evaluate(name, raw, y, weight, loss=loss))
    return found


def own_scores(path: str, net: Network, metrics: list[str]) -> dict[str, dict[str, float]]:
    """Scores of a run's network on the run's own rows."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    config = folder / "config.yaml"
    if not config.is_file():
        raise ConfigError(path, "must be a run's folder if no files are given")
    subject = subject_of(plan_of(read(config)))
    return {name: score(net, part, subject.loss, metrics, subject.recipe) for name, part in subject.parts.items()}


def gflops(net: Network, history: History) -> float:
    """Billions of multiplications and additions a second: 6 a weight and row, 2 forward and 4 backward.

    The first layer takes 4, without the gradient of its inputs.
    """
    sizes = [
        shape[0] * shape[1]
        for name, shape in net.graph.parameters().items()
        if name.endswith(".weight") and len(shape) == 2
    ]
    work = 6.0 * sum(sizes) - 2.0 * sum(sizes[:1])
    return work * history.samples / history.seconds / 1e9 if history.seconds else 0.0
