"""From a recipe to plain data: see `steps.py`."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from typing import Any

import numpy as np

from fastbp.data.categories import Category
from fastbp.data.columns import MISSING, Column, is_plain, number
from fastbp.data.dates import Dates
from fastbp.data.frame import as_texts
from fastbp.data.inputs import Encoding
from fastbp.data.moments import STEPS
from fastbp.data.noisy import EDGE
from fastbp.data.numbers import Numbers, levels_of
from fastbp.data.outputs import Outputs
from fastbp.data.recipe import Recipe
from fastbp.data.transforms import Transform
from fastbp.data.unseen import Keys
from fastbp.data.words import NORM
from fastbp.errors import ConfigError, not_one_of, visible
from fastbp.export.steps import (
    Also,
    Back,
    Chain,
    Clip,
    Code,
    Cosine,
    Count,
    Ending,
    Exp,
    Fill,
    Finite,
    First,
    Key,
    Levels,
    Missing,
    Moment,
    NumberCode,
    OneHot,
    Outcome,
    Part,
    Pick,
    Preprocessing,
    Ranks,
    Raw,
    Share,
    Shift,
    Sine,
    Soften,
    Step,
    Table,
    Unscale,
)
from fastbp.spec.catalogue import facts_of
from fastbp.spec.losses import Loss

MATRIX = "x"  # the name of a matrix
WAYS = {"log": "exp", "log1p": "expm1", "sqrt": "square", "none": "none"}


def preprocessing_of(recipe: Recipe, dtype: Any, numbers: Collection[str] = (), matrix: bool = False) -> Preprocessing:
    """A recipe as plain data.

    Parameters
    ----------
    recipe : Recipe
    dtype
        Of the network.
    numbers : collection of str
        The columns of categories whose values are given as numbers, rather than as texts.
    matrix : bool
        Whether all columns are those of one matrix, in their order, as where an array was fitted.
    """
    names = [part.name for part in recipe.inputs.categories]
    for name in numbers:
        if not names:
            raise ConfigError("numbers", "must be left out where no column has categories", f"`{visible(str(name))}`")
        if name not in names:
            raise not_one_of("numbers", name, names)
    made = _Made(recipe, names if matrix else numbers)
    for part in recipe.inputs.parts:
        made.add(part)
    raws, chains = made.raws, made.chains
    if matrix and made.named:
        whole = Raw(MATRIX, "number", len(raws))
        place = {raw: i for i, raw in enumerate(raws)}
        for raw in raws:
            if raw.kind != "number":
                must = f"must be False, as column `{visible(raw.name)}` has {raw.kind}s"
                raise ConfigError("matrix", must, "`True`")
        raws, chains = [whole], [Chain(whole, chain.steps, place[chain.raw]) for chain in chains]
    return Preprocessing(tuple(raws), tuple(chains), outcome_of(recipe), np.dtype(dtype).name)


class _Made:
    """What has been made of parts so far."""

    def __init__(self, recipe: Recipe, numbers: Collection[str]) -> None:
        self.numbers = frozenset(numbers)
        self.missing = tuple(sorted(MISSING | set(recipe.raw.missing)))
        gone = [number(text, recipe.raw.decimal or ".") for text in recipe.raw.missing]
        self.also = tuple(sorted({n for n in gone if n is not None and np.isfinite(n)}))
        self.raws: list[Raw] = []
        self.chains: list[Chain] = []
        self.named = False

    def add(self, part: Encoding) -> None:
        """The chains of one part, behind those before it."""
        self.named = self.named or part.name is not None
        if isinstance(part, Numbers):
            raw = Raw(MATRIX, "number", len(part.fill)) if part.name is None else Raw(part.name, "number")
            check = (*self._also(), Finite(part.missing != "refuse"))
            self._numbers(raw, check, part)
        elif isinstance(part, Category):
            self._category(part)
        elif isinstance(part, Dates):
            self._dates(part)
        else:
            weights = tuple(part.weights.tolist())
            self._chain(Raw(part.name, "text"), Count(self.missing, weights, NORM))

    def _also(self) -> tuple[Step, ...]:
        return (Also(self.also),) if self.also else ()

    def _chain(self, raw: Raw, *steps: Step, first: int = 0, count: int = 1) -> None:
        if raw not in self.raws:
            self.raws.append(raw)
        chain = Chain(raw, steps, first, count)
        if chain.width:
            self.chains.append(chain)

    def _numbers(self, raw: Raw, check: tuple[Step, ...], part: Numbers) -> None:
        scales = [part.scale] * raw.width if isinstance(part.scale, str) else part.scale
        at = 0
        for _, run in groupby(scales):
            count = len(list(run))
            steps = scaled(part, at, count)
            self._chain(raw, *check, *steps, first=at, count=count)
            at += count
        for i in np.flatnonzero(part.holes).tolist():
            self._chain(raw, *check, Missing(), first=i)

    def _category(self, part: Category) -> None:
        key = Keys([*part.values, *part.rare])
        place: dict[str, int] = {}
        for i, value in enumerate(part.values):
            place.setdefault(key(value), i + 1)
        for value in part.rare:
            place.setdefault(key(value), part.count)
        other = part.count if part.rare else 0
        steps: list[Step] = []
        if part.encode == "one_hot" and part.scale == "none":
            steps = [OneHot((0.0,) * part.count, (1.0,) * part.count)]
        elif part.encode == "one_hot" and part.count == 2:
            steps = [Pick(tuple(part.levels[0]))]
        elif part.encode == "one_hot":
            steps = [OneHot(tuple(off for off, _ in part.levels), tuple(on for _, on in part.levels))]
        if part.name in self.numbers:
            code = NumberCode(_of_numbers(key, place), other)
            self._chain(Raw(part.name, "number"), *self._also(), code, *steps)
            return
        same = Key(self.missing, not key.exact, tuple(sorted(key.codes.items())))
        self._chain(Raw(part.name, "text"), Code(same, tuple(sorted(place.items())), other), *steps)

    def _dates(self, part: Dates) -> None:
        raw = Raw(part.name, "moment" if part.unit is None else "number")
        steps: list[Step] = (
            [] if part.unit is None else [*self._also(), Finite(True), Moment(STEPS.get(part.unit, 0.0))]
        )
        start = (*steps, Finite(part.missing != "refuse"))
        for i, name in enumerate(part.parts):
            said = Part(name, part.newest if name == "age" else 0)
            self._chain(raw, *start, said, *scaled(part.numbers, i, 1))
        points: tuple[Step, Step] = Sine(), Cosine()
        turning = [name for name in part.parts if name in ("month", "yearday", "weekday", "hour")]
        for i, name in enumerate(turning):
            for k, turn in enumerate(points):
                self._chain(raw, *start, Share(name), turn, *scaled(part.cycles, 2 * i + k, 1))
        if part.hole:
            self._chain(raw, *start, Missing())


def scaled(part: Numbers, first: int, count: int) -> tuple[Step, ...]:
    """What `count` columns of one scale are filled with, from `first` on, and how they are scaled."""
    of = slice(first, first + count)
    fill: tuple[Step, ...] = () if part.missing == "refuse" else (Fill(tuple(part.fill[of].tolist())),)
    scale = part.scale if isinstance(part.scale, str) else part.scale[first]
    if scale == "none":
        return fill
    if scale in ("quantile", "noisy_quantile"):
        ranked = [i for i in range(len(part.fill)) if isinstance(part.scale, str) or part.scale[i] == scale]
        knots = [part.knots[:, ranked.index(i)] for i in range(first, first + count)]
        if scale == "quantile":
            return (*fill, Levels(tuple(_table(*levels_of(one)) for one in knots)))
        return (*fill, Ranks(tuple(map(_ranks, knots)), EDGE))
    shift = Shift(tuple(part.center[of].tolist()), tuple(part.spread[of].tolist()))
    return (*fill, shift, *([Soften()] if scale == "robust" else []))


def _table(places: Any, levels: Any) -> Table:
    return Table(tuple(places.tolist()), tuple(levels.tolist()))


def _ranks(knots: Any) -> tuple[Table, Table] | None:
    """Interpolation from the left, and from the right on what is negated."""
    if knots[0] == knots[-1]:
        return None
    parts = np.linspace(0.0, 1.0, len(knots))
    return _table(knots, parts), _table(-knots[::-1], parts)


def _of_numbers(key: Keys, place: dict[str, int]) -> tuple[tuple[float, int], ...]:
    """The numbers whose texts are known."""
    texts = {*place, *key.codes}
    tried = sorted({float(text) for text in texts if is_plain(text) and np.isfinite(float(text))})
    said = as_texts(Column("", np.array(tried, np.float64))).tolist()
    found = ((value, place.get(key(text))) for value, text in zip(tried, said, strict=True))
    return tuple((value, code) for value, code in found if code is not None)


def outcome_of(recipe: Recipe) -> Outcome:
    """What outputs mean by a recipe."""
    outputs, names = recipe.outputs, tuple(recipe.outputs.names)
    if outputs.task != "numbers":
        return Outcome(outputs.task, names, outputs.columns[0])
    loss = facts_of(recipe.loss)
    link: tuple[Ending, ...] = ()
    if loss.kind == "poisson":
        link = (Exp(),)
    elif loss.kind == "gaussian_nll":
        link = (First(outputs.width),)
    elif loss.predicted.__func__ is not Loss.predicted.__func__:  # type: ignore[attr-defined]
        must = "must be one whose predictions can be exported"
        raise ConfigError("loss", must, f"`{recipe.loss}`")
    deviations = tuple(outputs.spread.tolist()) if loss.kind == "gaussian_nll" else ()
    around = tuple(one.name != "none" for one in outputs.transforms)
    return Outcome("numbers", names, "", link, _endings(outputs), deviations, around if deviations else ())


def _endings(outputs: Outputs) -> tuple[Ending, ...]:
    """From what a network predicts to numbers in the units of the table."""
    found: list[Ending] = []
    center, spread = outputs.center, outputs.spread
    if outputs.transformed or center.any() or (spread != 1.0).any():
        found.append(Unscale(tuple(center.tolist()), tuple(spread.tolist()), outputs.narrow))
    if outputs.transformed:
        found.append(Back(tuple(map(_way, outputs.transforms))))
    if len(outputs.low):
        found.append(Clip(tuple(outputs.low.tolist()), tuple(outputs.high.tolist())))
    return tuple(found)


def _way(transform: Transform) -> str | Table:
    if transform.name != "quantile":
        return WAYS[transform.name]
    places, levels = levels_of(transform.knots)
    return _table(levels, places)
