"""How predictions depend on one column: on average over rows in which it is set to one value after another.

    curve of a row    what the model says of it where the column has each value (Goldstein et al., 2015)
    dependence        the mean of these curves (Friedman, 2001)
    low, high         between which lie the middle 80 % of the curves
    bend              deviation of the curves where each is moved so that its mean is that of all: 0 where the column
                      acts on every row alike, large where it acts together with other columns

Values of numbers and dates are quantiles of the rows, those of categories the most frequent ones; where some are
missing, that is a value too. Everything depends on the rows, the seed and the model alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.categories import Category
from fastbp.data.columns import Column
from fastbp.data.dates import Dates
from fastbp.data.frame import Frame, as_texts
from fastbp.data.moments import moments
from fastbp.data.numbers import Numbers
from fastbp.data.prepare import frames_of as frames_of_data
from fastbp.data.words import Words
from fastbp.errors import ConfigError, not_one_of, visible
from fastbp.pictures.dependence import Curve, Line, dependences
from fastbp.pictures.page import SERIES
from fastbp.pictures.picture import Picture
from fastbp.runs.ensembles import EnsembleModel
from fastbp.runs.entrants import fold_of
from fastbp.runs.explain import speaker_at
from fastbp.runs.folder import table
from fastbp.runs.prediction import settings_of
from fastbp.runs.scores import part_named, plan_at
from fastbp.runs.viewed import frames_of, speaker_of
from fastbp.runs.views import Speaker, View
from fastbp.spec.checks import whole
from fastbp.spec.elsewhere import known_words
from fastbp.train.explain import MOST, some_rows

Array = NDArray[Any]
POINTS = 20  # values of a column, at most, by default
AT_ONCE = 1 << 17  # rows that are predicted together
LOW, HIGH = 0.1, 0.9  # the band


@dataclass(frozen=True)
class Dependence:
    """How predictions depend on a column.

    Attributes
    ----------
    column : str
    kind : {"numbers", "dates", "categories"}
    values : list of float or str or None
        What the column is set to, None for missing.
    outputs : list of str
        What is predicted: classes, labels, or columns of numbers.
    mean, low, high, bend : array, shape (values, outputs)
        Of the curves of the rows: their mean, the ends of the band that has the middle 80 % of them, and the deviation
        of their bends.
    counts : list of int
        Of these rows how many have each value; of numbers and dates, how many are nearest to it.
    part : str
        Whose rows they are.
    rows, of : int
        How many rows were looked at, and of how many these were drawn.
    more : int
        Categories that these rows have besides.
    opposite : bool
        Whether there are two classes, each of which is what the other is not.
    """

    column: str
    kind: str
    values: list[Any]
    outputs: list[str]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bend: NDArray[np.float64]
    counts: list[int]
    part: str
    rows: int
    of: int
    more: int = 0
    opposite: bool = False

    @property
    def range(self) -> NDArray[np.float64]:
        """How far the mean of each output goes, from its least to its greatest."""
        return np.asarray(self.mean.max(axis=0) - self.mean.min(axis=0))

    def table(self) -> list[dict[str, Any]]:
        """A row for each value and output."""
        found = []
        for i, value in enumerate(self.values):
            for k, output in enumerate(self.outputs):
                four = {name: float(getattr(self, name)[i, k]) for name in ("mean", "low", "high", "bend")}
                found.append({"column": self.column, "value": value, "rows": self.counts[i], "output": output, **four})
        return found

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        head = {"column": self.column, "kind": self.kind, "part": self.part, "rows": self.rows, "of": self.of}
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "low", "high", "bend")}
        return {
            **head,
            "values": self.values,
            "counts": self.counts,
            "more": self.more,
            "outputs": self.outputs,
            **arrays,
        }

    def csv(self) -> str:
        """As a table."""
        return table(self.table())

    def picture(self) -> Picture:
        """The mean of the curves with its band, for numbers as a line."""
        return dependences([self.curve()], f"What depends on {self.column}, on {self.rows:,} {self.part} rows")

    def curve(self) -> Curve:
        """What its picture shows: of two classes the second, of many outputs those that depend most on the column."""
        lines = [
            Line(self.outputs[k], self.mean[:, k].tolist(), self.low[:, k].tolist(), self.high[:, k].tolist())
            for k in self.shown
        ]
        return Curve(self.column, self.kind == "numbers", self.values, lines)

    @property
    def shown(self) -> list[int]:
        """The outputs that are shown."""
        if self.opposite:
            return [1]
        return sorted(np.argsort(-self.range, kind="stable")[:SERIES].tolist())


@dataclass(frozen=True)
class Dependences:
    """Several columns together, for files and pictures."""

    each: list[Dependence]

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {"dependence": [one.data() for one in self.each]}

    def csv(self) -> str:
        """As a table."""
        return table([row for one in self.each for row in one.table()])

    def picture(self) -> Picture:
        """One below the other."""
        first = self.each[0]
        return dependences([one.curve() for one in self.each], f"Dependence, on {first.rows:,} {first.part} rows")


@known_words
def dependence(
    model: Any,
    X: Any,
    column: str | int,
    *,
    points: int = POINTS,
    seed: int = 0,
    rows: int = MOST,
    loss: Any = None,
) -> Dependence:
    """How the predictions of a model depend on one column, on average over the rows of X, with the spread of the rows.

    Parameters
    ----------
    model : Network, Pack, Ensemble, or an estimator of fastbp
    X : array or table
        Rows as the model predicts them; of a model with preprocessing they are raw.
    column : str or int
        Of a table a name, of an array a number.
    points : int, >= 2
        At most so many values: quantiles of numbers and dates, of categories the most frequent.
    seed : int
    rows : int, >= 1
        At most so many rows are looked at, drawn at random.
    loss : str or Loss, optional
        What outputs of a network mean; by default that of its trainer, or of its file.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> net = fb.Network([fb.Linear(1)], inputs=2)
    >>> net.parameters["0.weight"] = [[3.0], [0.0]]
    >>> X = np.random.default_rng(0).standard_normal((100, 2))
    >>> found = fb.dependence(net, X, 0, points=3, loss="mse")
    >>> (np.diff(found.mean[:, 0]) / np.diff(found.values)).round(4).tolist(), float(found.bend.max().round(4))
    ([3.0, 3.0], 0.0)
    """
    speaker = speaker_of(model, loss)
    return _dependence(speaker, frames_of(model, speaker, X), str(column), points, seed, rows, "given")


def dependences_at(
    path: str,
    columns: Sequence[str],
    part: str | None = None,
    points: int = POINTS,
    seed: int = 0,
    rows: int = MOST,
    files: Sequence[str] = (),
) -> Dependences:
    """The same of the network or the ensemble of a run, on its own rows, by default the test rows, or on files."""
    speaker, model = speaker_at(path)
    if files:
        settings, _, _ = settings_of(path)
        found = model.read(tuple(files), settings)
        frames = found.frames if isinstance(model, EnsembleModel) else {0: found}
        name = "files"
    else:
        plan = plan_at(path)
        pack = plan.config.pack
        folds = None if pack is None else pack.folds
        of = plan if folds is None else fold_of(plan, folds, 0)
        own, *_ = frames_of_data(of.config.data, of.config.seed)
        if folds is not None:
            if "test" not in own:
                must = "must have test rows to be explained by, as its networks were trained on all others"
                raise ConfigError(path, must)
            own = {"test": own["test"]}
        name = part_named({key: own[key] for key in ("train", "validation", "test") if key in own}, part)  # type: ignore[misc]
        frames = dict.fromkeys(speaker.recipes, own[name])
    return Dependences([_dependence(speaker, frames, column, points, seed, rows, name) for column in columns])


def _dependence(
    speaker: Speaker, frames: dict[int, Frame], column: str, points: int, seed: int, most: int, name: str
) -> Dependence:
    count, total = whole("points", points, 2), len(frames[0])
    chosen = some_rows(total, whole("rows", most, 1), seed)
    frames = {at: frame.take(chosen) for at, frame in frames.items()}
    X = {at: _inputs(speaker, at, frame) for at, frame in frames.items()}
    view = View.of(speaker, X)
    if column not in view.columns:
        raise not_one_of("column", column, view.columns)
    values = values_of(speaker, frames[0], column, count)
    set_to = []
    for at, places in zip(speaker.recipes, view.places, strict=True):
        rows = values.in_frame(frames[at], column)
        inputs = _inputs(speaker, at, rows)
        narrow = getattr(inputs, "narrow", inputs)
        set_to.append(narrow[:, places.get(column, [])])
    curves, names = _curves(view, column, set_to)
    low, high = np.quantile(curves, (LOW, HIGH), axis=1)
    mean = curves.mean(axis=1)
    bends = curves - curves.mean(axis=0) + mean.mean(axis=0)
    opposite = len(names) == 2 and speaker.probable and "classes" in speaker.loss.tasks
    arrays = mean, low, high, bends.std(axis=1)
    said = values.kind, values.said, names, *arrays, values.counts
    return Dependence(column, *said, name, len(chosen), total, values.more, opposite)


def _inputs(speaker: Speaker, at: int, frame: Frame) -> Any:
    recipe = speaker.recipes[at]
    dtype = speaker.net.dtype
    return np.asarray(frame.matrix, dtype) if recipe is None else recipe.inputs.matrix(frame, dtype)


def _curves(view: View, column: str, set_to: Sequence[Array]) -> tuple[NDArray[np.float64], list[str]]:
    """What the model says, shape (values, rows, outputs), and of what."""
    values, rows = len(set_to[0]), len(view.kept[0])
    found, names = [], [""]
    together = max(1, AT_ONCE // rows)
    for first in range(0, values, together):
        block = range(first, min(first + together, values))
        mixed = []
        for kept, places, own in zip(view.kept, view.places, set_to, strict=True):
            x = np.tile(kept, (len(block), 1))
            x[:, places.get(column, [])] = np.repeat(own[block.start : block.stop], rows, axis=0)
            mixed.append(x)
        said, names = view.speaker.says(view.outputs(mixed))
        found.append(said.reshape(len(block), rows, -1))
    return np.concatenate(found).astype(np.float64), names


# The values that a column is set to


@dataclass
class Values:
    """What a column is set to.

    Attributes
    ----------
    kind : str
        As of `Dependence`.
    said : list
        As they are told.
    column : Column or None
        The same as the table has them; None: numbers of a matrix.
    counts : list of int
        Rows that have each, or are nearest to it.
    more : int
        Categories besides.
    """

    kind: str
    said: list[Any]
    column: Array | Column
    counts: list[int]
    more: int = 0

    def in_frame(self, frame: Frame, name: str) -> Frame:
        """The first row of a frame as often as there are values, with one in each."""
        rows = frame.take(np.zeros(len(self.said), np.int64))
        if isinstance(self.column, Column):
            return replace(rows, columns={**rows.columns, name: self.column})
        matrix = np.array(rows.matrix)
        matrix[:, int(name)] = self.column
        return replace(rows, matrix=matrix)


def values_of(speaker: Speaker, frame: Frame, name: str, count: int) -> Values:
    """The values that a column is set to."""
    recipe = speaker.recipe
    parts = [] if recipe is None else recipe.inputs.parts
    part = next((one for one in parts if one.name == name), None)
    if part is None:
        matrix = frame.matrix
        assert matrix is not None
        numbers = np.asarray(matrix.read(0, len(frame)) if hasattr(matrix, "read") else matrix)[:, int(name)]
        grid, counts = _grid(numbers.astype(np.float64), count)
        return Values("numbers", [None if value != value else value for value in grid.tolist()], grid, counts)
    if isinstance(part, Words):
        must = "must have numbers, dates or categories to be set to, got a column of texts"
        raise ConfigError(f"column `{visible(name)}` {must}")
    if isinstance(part, Numbers):
        grid, counts = _grid(frame.numbers(name), count)
        said = [None if value != value else value for value in grid.tolist()]
        return Values("numbers", said, Column(name, grid), counts)
    if isinstance(part, Dates):
        return _dates(frame, part, count)
    assert isinstance(part, Category)
    return _categories(frame, name, count)


def _grid(numbers: Array, count: int) -> tuple[Array, list[int]]:
    """Numbers at equal shares of the rows, each once, then NaN if some are missing; and how many rows are nearest."""
    there = np.sort(numbers[~np.isnan(numbers)])
    missing = len(numbers) - len(there)
    grid = np.unique(there)
    if len(grid) > count:
        grid = np.unique(there[[round(share * (len(there) - 1)) for share in np.linspace(0.0, 1.0, count).tolist()]])
    middles = grid[:-1] / 2 + grid[1:] / 2
    counts = np.bincount(np.searchsorted(middles, there), minlength=len(grid))[: len(grid)].tolist()
    return (np.append(grid, np.nan), [*counts, missing]) if missing else (grid, counts)


def _dates(frame: Frame, part: Dates, count: int) -> Values:
    """Moments that some rows have."""
    at = moments(frame, part.name, part.unit, part.order)
    micro = np.where(np.isnat(at), np.nan, at.astype(np.int64).astype(np.float64))
    grid, counts = _grid(micro, count)
    rows = [int(np.flatnonzero(np.isnan(micro) if value != value else micro == value)[0]) for value in grid.tolist()]
    said = [None if np.isnat(moment) else _written(moment) for moment in at[rows]]
    return Values("dates", said, frame.columns[part.name].with_values(frame.columns[part.name].values[rows]), counts)


def _written(moment: Any) -> str:
    """A moment as ISO has it, without a time where there is none."""
    text = str(np.datetime_as_string(moment, "s"))
    return text.removesuffix("T00:00:00")


def _categories(frame: Frame, name: str, count: int) -> Values:
    """The most frequent categories of the rows, by their names; missing ones last."""
    texts = as_texts(frame.column(name)).tolist()
    found = Counter(text for text in texts if text is not None)
    names = sorted(sorted(found), key=lambda text: -found[text])
    shown = names[:count]
    missing = len(texts) - sum(found.values())
    said: list[Any] = [*shown, *([None] if missing else [])]
    values = np.empty(len(said), object)
    values[:] = said
    counts = [*(found[text] for text in shown), *([missing] if missing else [])]
    return Values("categories", said, Column(name, values), counts, len(names) - len(shown))
