"""Loss and metrics of networks on rows, in the units of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.config.build import Plan, plan_of
from fastbp.config.text import read
from fastbp.data.prepare import Part
from fastbp.data.recipe import Recipe
from fastbp.errors import ConfigError, not_one_of
from fastbp.model.network import Network
from fastbp.numerics.exact import log
from fastbp.pictures.confusion import confusion
from fastbp.pictures.reliability import reliability
from fastbp.runs.folder import lines_of, table
from fastbp.runs.subject import Subject, subject_of
from fastbp.spec.layers import Linear
from fastbp.train.history import History
from fastbp.train.metrics import evaluate, report


def score(net: Network, part: Part, loss: Any, metrics: list[str], recipe: Recipe) -> dict[str, float]:
    """Loss and metrics of a network on rows."""
    found = {"loss": net.evaluate(part.X, part.y, loss, part.weight)}
    raw, y, weight = measured(net, part, loss, recipe)
    for name in metrics:
        found[name] = float(evaluate(name, raw, y, weight, loss=loss))
    return found


def told(net: Network, part: Part, loss: Any, recipe: Recipe, positive: str | None = None) -> dict[str, Any]:
    """Everything there is to say of a network on rows."""
    raw, y, weight = measured(net, part, loss, recipe)
    return report(raw, y, loss=loss, names=recipe.outputs.names, positive=positive, sample_weight=weight)


def measured(net: Network, part: Part, loss: Any, recipe: Recipe) -> tuple[Any, Any, Any]:
    """Outputs and targets in the units of the table, and weights, of the rows that count."""
    raw, y, weight = net.predict(part.X), part.y, part.weight
    if part.numbers is not None:
        raw, y = recipe.outputs.back(raw), part.numbers
    ignored = getattr(loss, "ignore_index", None)
    if ignored is not None and y.ndim == 1:
        kept = y != ignored
        raw, y, weight = raw[kept], y[kept], None if weight is None else weight[kept]
    return raw, y, weight


def baseline(train: Part, part: Part, outputs: int, loss: Any, metrics: list[str], recipe: Recipe) -> dict[str, float]:
    """Loss and metrics of what says the same of every row: the shares, or the means of the training rows' targets.

    It is a network too, a Linear without weights.
    """
    constant = Network([Linear(outputs)], inputs=1, dtype=part.X.dtype)
    constant.parameters["0.weight"] = np.zeros((1, outputs))
    constant.parameters["0.bias"] = _constant(train, outputs, loss, recipe.outputs.task)
    return score(constant, replace(part, X=np.zeros((len(part), 1), part.X.dtype)), loss, metrics, recipe)


def _constant(train: Part, outputs: int, loss: Any, task: str) -> NDArray[np.float64]:
    """What a network says of every row if it knows the training targets only."""
    y = train.y
    if task == "classes":
        counts = np.bincount(y[y >= 0], None if train.weight is None else train.weight[y >= 0], outputs)
        return log(np.maximum(counts, 1e-9) / np.maximum(counts.sum(), 1e-9))
    mean = np.average(y.astype(np.float64), axis=0, weights=train.weight)
    if task == "labels":
        share = np.clip(mean, 1e-9, 1 - 1e-9)
        return log(share / (1 - share))
    variance = np.average((y - mean) ** 2, axis=0, weights=train.weight)
    return np.asarray(loss.constant(mean, variance))


def plan_at(path: str) -> Plan:
    """The configuration of a run, from its folder or one of its networks."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    config = folder / "config.yaml"
    if not config.is_file():
        raise ConfigError(path, "must be a run's folder if no files are given")
    return plan_of(read(config))


def subject_at(path: str) -> Subject:
    """The configuration and the rows of a run, from its folder or one of its networks."""
    return subject_of(plan_at(path))


def part_named(parts: dict[str, Part], name: str | None) -> str:
    """A part of a run's rows; by default those that it has seen least."""
    if name is None:
        return [*parts][-1]
    if name not in parts:
        raise not_one_of("--part", name, parts)
    return name


def gflops(net: Network, history: History) -> float:
    """Billions of multiplications and additions a second: 6 a weight and row, 2 forward and 4 backward.

    The first layer takes 4, without the gradient of its inputs.
    """
    sizes = [
        shape[0] * shape[1] * node.members
        for node in net.graph.nodes
        for part, (_, shape, _, _) in node.layer.draws(node.inputs).items()
        if part == "weight" and len(shape) == 2
    ]
    work = 6.0 * sum(sizes) - 2.0 * sum(sizes[:1])
    return work * history.samples / history.seconds / 1e9 if history.seconds else 0.0


def files_of(report: dict[str, Any], part: str) -> dict[str, str]:
    """Files of a report by their names: confusion matrix and calibration curve, as pictures and as tables."""
    found = {}
    if report.get("confusion"):
        names = [row["name"] for row in report["each"]]
        title = f"Confusion on {report['rows']:,} {part} rows"
        found["confusion.svg"] = str(confusion(names, report["confusion"], title))
        rows = [
            ["true \\ predicted", *names],
            *([name, *row] for name, row in zip(names, report["confusion"], strict=True)),
        ]
        found["confusion.csv"] = lines_of(rows)
    if "calibration" in report:
        said = report["calibration"]
        title = f"Calibration on {report['rows']:,} {part} rows"
        found["calibration.svg"] = str(reliability(said["bins"], said["of"], report["calibration_error"], title))
        found["calibration.csv"] = table(said["bins"])
    return found
