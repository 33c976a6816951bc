"""What the columns of a run's table are worth to its network."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.errors import ConfigError
from fastbp.pictures.bars import Bar, bars
from fastbp.pictures.picture import Picture
from fastbp.runs.folder import table
from fastbp.runs.prediction import Model
from fastbp.runs.scores import measured, part_named, subject_at
from fastbp.runs.subject import Subject
from fastbp.spec.coded import Coded
from fastbp.train.explain import Importance, importance_of, sensitivity
from fastbp.train.metrics import evaluate, metric_named
from fastbp.writing import whole


@dataclass(frozen=True)
class Explained:
    """Importance and sensitivity of every column, the most important first.

    Attributes
    ----------
    part : str
        Whose rows they are.
    rows : int
    importance : Importance
    sensitivities : list of float or None
        Mean |∂ output / ∂ input| over rows and outputs, of the inputs that a column becomes together, and of numbers in
        the units of the table; None for codes of an embedding, which nothing can be differentiated in.
    """

    part: str
    rows: int
    seed: int
    importance: Importance
    sensitivities: list[float | None]

    def columns(self) -> list[dict[str, Any]]:
        """A row for each column, the most important first."""
        found = self.importance
        rows = [
            {"column": name, "importance": mean, "spread": spread, "sensitivity": answer}
            for name, mean, spread, answer in zip(
                found.columns, found.mean.tolist(), found.spread.tolist(), self.sensitivities, strict=True
            )
        ]
        return sorted(rows, key=lambda row: -row["importance"])

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        drops = dict(zip(self.importance.columns, self.importance.drops.tolist(), strict=True))
        head = {"part": self.part, "rows": self.rows, "metric": self.importance.metric, "score": self.importance.score}
        said = [{**row, "drops": drops[row["column"]]} for row in self.columns()]
        return {**head, "repeats": self.importance.drops.shape[1], "seed": self.seed, "columns": said}

    def csv(self) -> str:
        """As a table."""
        return table(self.columns())

    def picture(self, most: int = 30) -> Picture:
        """Bars of the most important columns."""
        shown = self.columns()[:most]
        worth = [Bar(row["column"], row["importance"], row["spread"]) for row in shown]
        answers = [Bar(row["column"], row["sensitivity"]) for row in shown]
        metric = self.importance.metric.replace("_", " ")
        titles = f"worse {metric} where it is shuffled", "mean |∂ output / ∂ input|"
        return bars(f"What columns are worth, on {self.rows:,} {self.part} rows", [worth, answers], titles)


def explain(
    path: str, part: str | None = None, metric: str | None = None, repeats: int = 5, seed: int = 0
) -> Explained:
    """Explain the network of a run by its own rows; `part` is by default the test rows, and `metric` the run's."""
    net, subject = Model.load(path).net, subject_at(path)
    name = part_named(subject.parts, part)
    rows, loss, recipe = subject.parts[name], subject.loss, subject.recipe
    places = columns_of(recipe.inputs)
    if isinstance(rows.X, Coded):  # a code is shuffled as the columns that it stands for would be
        counts, kept = rows.X.counts, rows.X.narrow.copy()
        own = {column: rows.X.sources(at) for column, at in places.items()}
    else:
        counts, kept, own = None, np.array(rows.X), places
    named = measure_of(subject) if metric is None else metric
    several = recipe.outputs.task == "labels" and recipe.outputs.width > 1
    higher = named != "loss" and metric_named(named, loss, several).higher_is_better

    def score(mixed: NDArray[Any]) -> float:
        X = mixed if counts is None else Coded(mixed, counts)
        if named == "loss":
            return net.evaluate(X, rows.y, loss, rows.weight)
        return float(evaluate(named, *measured(net, replace(rows, X=X), loss, recipe), loss=loss))

    importance = importance_of(score, kept, own, named, higher, repeats, seed)
    slopes = None
    if subject.task == "numbers":  # in the units of the table
        width = recipe.outputs.width
        slopes = np.zeros((len(rows), net.outputs))
        slopes[:, :width] = recipe.outputs.slopes(net.predict(rows.X)[:, :width])
    answers = sensitivity(net, rows.X, slopes)[: recipe.outputs.width]
    by_input, codes = answers.mean(axis=0), recipe.inputs.embeddings()
    sums = [None if at[0] in codes else float(by_input[at].sum()) for at in places.values()]
    return Explained(name, len(rows), seed, importance, sums)


def columns_of(inputs: Inputs) -> dict[str, list[int]]:
    """The places in the network's inputs of each column of the table; those of a matrix have numbers."""
    found: dict[str, list[int]] = {}
    at = 0
    for part in inputs.parts:
        if part.name is None and isinstance(part, Numbers):
            width = len(part.fill)
            holes = iter(range(at + width, at + part.width))
            for i in range(width):
                found[str(i)] = [at + i, *([next(holes)] if part.holes[i] else [])]
        else:
            found[str(part.name)] = list(range(at, at + part.width))
        at += part.width
    return {name: places for name, places in found.items() if places}


def measure_of(subject: Subject) -> str:
    """The metric of a run: what it monitors, or the first that it reports."""
    monitored = (subject.plan.config.trainer.monitor or "").removeprefix("val_")
    if monitored in subject.metrics:
        return monitored
    return subject.metrics[0] if subject.metrics else "loss"


def refuse_ending(path: str) -> None:
    """Refuse a file that `save` cannot write."""
    if Path(path).suffix.lower() not in (".json", ".csv", ".svg"):
        raise ConfigError("--output", "must be a file whose name ends in `.json`, `.csv` or `.svg`", f"`{path}`")


def save(found: Explained, path: str) -> None:
    """Write to a .json, .csv or .svg file, by the end of its name."""
    end = Path(path).suffix.lower()
    if end == ".json":
        text = json.dumps(found.data(), indent=2) + "\n"
    else:
        text = found.csv() if end == ".csv" else str(found.picture())
    with whole(path) as file:
        file.write(text.encode())
