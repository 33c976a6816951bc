"""What the columns of a table are worth to a model: importance, of networks also sensitivity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.prepare import Part
from fastbp.data.recipe import Recipe
from fastbp.errors import ConfigError, ConfigTypeError, brief, not_one_of
from fastbp.model.network import Network
from fastbp.pictures.bars import Bar, bars
from fastbp.pictures.picture import Picture
from fastbp.runs.ensembles import EnsembleModel, Several, own_rows
from fastbp.runs.folder import table
from fastbp.runs.prediction import model_at, settings_of
from fastbp.runs.scores import measured, part_named, plan_at
from fastbp.runs.subject import METRICS
from fastbp.runs.viewed import parts_of, speaker_of
from fastbp.runs.views import Speaker, View
from fastbp.spec.checks import whole
from fastbp.spec.elsewhere import known_words
from fastbp.train.explain import MOST, Importance, importance_of, sensitivity, some_rows
from fastbp.train.metrics import evaluate, fitting, metric_named
from fastbp.writing import whole as whole_file

Array = NDArray[Any]


@dataclass(frozen=True)
class Explained:
    """Importance and sensitivity of every column, the most important first.

    Attributes
    ----------
    part : str
        Whose rows they are.
    importance : Importance
    sensitivities : list of float or None
        Mean |∂ output / ∂ input| over rows and outputs, of the inputs that a column becomes together, and of numbers in
        the units of the table; None for codes of an embedding, which nothing can be differentiated in, and of
        ensembles.
    """

    part: str
    seed: int
    importance: Importance
    sensitivities: list[float | None]

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return self.importance.rows

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
        found = self.importance
        drops = dict(zip(found.columns, found.drops.tolist(), strict=True))
        head = {"part": self.part, "rows": found.rows, "of": found.of, "metric": found.metric, "score": found.score}
        said = [{**row, "drops": drops[row["column"]]} for row in self.columns()]
        return {**head, "repeats": found.drops.shape[1], "seed": self.seed, "columns": said}

    def csv(self) -> str:
        """As a table."""
        return table(self.columns())

    def picture(self, most: int = 30) -> Picture:
        """Bars of the most important columns."""
        shown = self.columns()[:most]
        panels = [[Bar(row["column"], row["importance"], row["spread"]) for row in shown]]
        titles = [f"worse {self.importance.metric.replace('_', ' ')} where it is shuffled"]
        if any(answer is not None for answer in self.sensitivities):
            panels.append([Bar(row["column"], row["sensitivity"]) for row in shown])
            titles.append("mean |∂ output / ∂ input|")
        return bars(f"What columns are worth, on {self.rows:,} {self.part} rows", panels, titles)


@known_words
def importance(
    model: Any,
    X: Any,
    y: Any = None,
    metric: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    repeats: int = 5,
    seed: int = 0,
    rows: int = MOST,
    sample_weight: Any = None,
    loss: Any = None,
) -> Importance:
    """How much worse a metric gets where the values of one column are shuffled among the rows (Breiman, 2001).

    Parameters
    ----------
    model : Network, Pack, Ensemble, or an estimator of fastbp
    X : array or table
        Rows that it was not trained on, as it predicts them. Of a table, each column is shuffled as a whole, whatever
        inputs it becomes; columns of an array have numbers.
    y : array
        Their targets; a table may have them itself.
    metric : str, optional
        "loss", or one of `fb.metrics.METRICS` that fits; by default accuracy or R².
    columns : list of str, optional
        Those to shuffle; by default all.
    repeats : int, >= 1
        Shuffles of each column.
    seed : int
    rows : int, >= 1
        At most so many rows are looked at, drawn at random.
    sample_weight : array, shape (rows,), optional
    loss : str or Loss, optional
        What outputs of a network mean; by default that of its trainer, or of its file.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> net = fb.Network([fb.Linear(1)], inputs=2)
    >>> net.parameters["0.weight"] = [[1.0], [0.0]]
    >>> found = fb.importance(net, X, X[:, :1], loss="mse")
    >>> bool(found.mean[0] > 1.5), float(found.mean[1])
    (True, 0.0)
    """
    speaker = speaker_of(model, loss)
    X, part = parts_of(model, speaker, X, y, sample_weight)
    several = "labels" in speaker.loss.tasks and part.y.ndim == 2 and part.y.shape[1] > 1
    named = metric or next(iter(fitting(speaker.loss, several)), "loss")
    _, _, found = _importance(speaker, X, part, speaker.loss, named, columns, repeats, seed, rows, several)
    return found


def _importance(
    speaker: Speaker,
    X: dict[int, Any],
    part: Part,
    loss: Any,
    metric: str,
    columns: Sequence[str] | None,
    repeats: int,
    seed: int,
    most: int,
    several: bool,
) -> tuple[View, Part, Importance]:
    """The rows that were drawn, and importance by these."""
    higher = metric != "loss" and metric_named(metric, loss, several).higher_is_better
    total = len(part.y)
    chosen = some_rows(total, whole("rows", most, 1), seed)
    view, of = View.of(speaker, X, chosen), taken(part, chosen)
    places = [_only(columns, view.columns, own) for own in view.places]
    recipe: Any = speaker.recipe

    def score(kept: Sequence[Array]) -> float:
        rows = replace(of, X=view.inputs(kept))
        if metric == "loss":
            return float(speaker.net.evaluate(rows.X, rows.y, loss, rows.weight))
        return float(evaluate(metric, *measured(speaker.net, rows, loss, recipe), loss=loss))

    return view, of, importance_of(score, view.kept, places, metric, higher, repeats, seed, total)


def taken(part: Part, chosen: NDArray[np.int64]) -> Part:
    """Targets and weights of some of the rows."""
    weight, numbers = (None if array is None else array[chosen] for array in (part.weight, part.numbers))
    return Part(None, part.y[chosen], weight, numbers)  # type: ignore[arg-type]


def _only(asked: Any, known: Sequence[str], places: dict[str, list[int]]) -> dict[str, list[int]]:
    """The places of those columns that were asked for."""
    if asked is None:
        return {name: places.get(name, []) for name in known}
    if isinstance(asked, str) or not isinstance(asked, Sequence):
        raise ConfigTypeError("columns", "must be a list of names", f"`{brief(asked)}`")
    for name in map(str, asked):
        if name not in known:
            raise not_one_of("columns", name, known)
    return {name: places.get(name, []) for name in map(str, asked)}


# Of runs


def speaker_at(path: str) -> tuple[Speaker, Any]:
    """What predicts in a file or a run's folder, and the model that reads tables for it."""
    model = model_at(path)
    _, said, _ = settings_of(path)
    if isinstance(model, EnsembleModel):
        recipes: dict[int, Recipe | None] = {at: own.recipe for at, own in model.models.items()}
        groups = None if model.ensemble.alike else model.ensemble.groups
        return Speaker(model.net, recipes, groups, model.loss(said)), model
    return Speaker(model.net, {0: model.recipe}, None, model.loss(said)), model


def rows_at(path: str, model: Any, files: Sequence[str], name: str | None) -> tuple[str, Part, Any]:
    """Rows of files, or a part of a run's own, by default the test rows, and the loss."""
    settings, said, _ = settings_of(path)
    if files:
        return "files", model.part(model.read(tuple(files), settings)), model.loss(said)
    parts, loss, _ = own_rows(path, model)
    name = part_named(parts, name)
    return name, parts[name], loss


def explain(
    path: str,
    part: str | None = None,
    metric: str | None = None,
    repeats: int = 5,
    seed: int = 0,
    rows: int = MOST,
    files: Sequence[str] = (),
) -> Explained:
    """Explain the network or the ensemble of a run by its own rows, or by those of files.

    `part` is by default the test rows, and `metric` the run's.
    """
    speaker, model = speaker_at(path)
    recipe: Any = speaker.recipe
    name, found, loss = rows_at(path, model, files, part)
    several = recipe.outputs.task == "labels" and recipe.outputs.width > 1
    named = measure_at(path, recipe.outputs.task) if metric is None else metric
    X = dict(zip(speaker.recipes, [found.X] * len(speaker.recipes), strict=True))
    if isinstance(found.X, Several):
        X = {at: found.X.rows[at] for at in speaker.recipes}
    view, _, importance = _importance(speaker, X, found, loss, named, None, repeats, seed, rows, several)
    answers: list[float | None] = [None] * len(view.columns)
    if isinstance(speaker.net, Network):
        answers = _sensitivities(speaker.net, view, recipe)
    return Explained(name, seed, importance, answers)


def _sensitivities(net: Network, view: View, recipe: Recipe) -> list[float | None]:
    """How much the outputs of a network answer to each column."""
    from fastbp.runs.views import columns_of

    rows, outputs, slopes = view.inputs(view.kept), recipe.outputs, None
    if outputs.task == "numbers":  # in the units of the table
        width = outputs.width
        slopes = np.zeros((len(rows), net.outputs))
        slopes[:, :width] = outputs.slopes(Network.predict(net, rows)[:, :width])
    by_input = sensitivity(net, rows, slopes)[: outputs.width].mean(axis=0)
    codes = recipe.inputs.embeddings()
    return [None if at[0] in codes else float(by_input[at].sum()) for at in columns_of(recipe.inputs).values()]


def measure_at(path: str, task: str) -> str:
    """The metric of a run: what it monitors, or the first that it reports; of a file without a run that of its task."""
    _, _, named = settings_of(path)
    names = METRICS[task] if named is None else named
    try:
        monitored = (plan_at(path).config.trainer.monitor or "").removeprefix("val_")
    except ConfigError:
        monitored = ""
    if monitored in names:
        return monitored
    return names[0] if names else "loss"


def refuse_ending(path: str) -> None:
    """Refuse a file that `save` cannot write."""
    if Path(path).suffix.lower() not in (".json", ".csv", ".svg"):
        raise ConfigError("--output", "must be a file whose name ends in `.json`, `.csv` or `.svg`", f"`{path}`")


def save(found: Any, path: str) -> None:
    """Write to a .json, .csv or .svg file, by the end of its name."""
    end = Path(path).suffix.lower()
    if end == ".json":
        text = json.dumps(found.data(), indent=2) + "\n"
    else:
        text = found.csv() if end == ".csv" else str(found.picture())
    with whole_file(path) as file:
        file.write(text.encode())
