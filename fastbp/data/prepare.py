"""From the `data` section to matrices: read, split, fit and apply."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data import _PARTS as DIGITS
from fastbp.data import digits
from fastbp.data.categories import Category, say_many
from fastbp.data.dates import Dates
from fastbp.data.files import TARGET, read_paths
from fastbp.data.frame import Column, Frame, missing_column
from fastbp.data.inputs import Encoding
from fastbp.data.kinds import are_classes, kind_of
from fastbp.data.leaks import leaks_of, say_leaks
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.plan import Seen, column_plan
from fastbp.data.raw import Raw
from fastbp.data.recipe import Recipe
from fastbp.data.rows import say_styles, with_targets
from fastbp.data.synthetic import SYNTHETIC
from fastbp.data.transforms import Transform
from fastbp.data.unseen import Keys, Unseen
from fastbp.errors import ConfigError, DataError, not_one_of, visible
from fastbp.numerics.splits import PARTS, split
from fastbp.spec.catalogue import loss_of
from fastbp.spec.coded import Coded
from fastbp.spec.losses import Loss

Array = NDArray[Any]
_READ = threading.local()  # tables that are read once
LOSS_OF = {"classes": "cross_entropy", "labels": "binary_cross_entropy", "numbers": "mse"}


@dataclass
class Part:
    """One split of the rows, ready for the network.

    Attributes
    ----------
    X, y : array
        Inputs of the network, and targets as its loss takes them.
    weight : array or None
        The weight of each row.
    numbers : array or None
        Targets in the units of the table, where they are numbers.
    rows : array or None
        Which rows of the table they are, counted from 0; None for all.
    """

    X: Array | Coded
    y: Array
    weight: Array | None = None
    numbers: Array | None = None
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.X)


@dataclass
class Prepared:
    """All splits, the recipe fitted to the training rows, and what the columns are."""

    parts: dict[str, Part]
    recipe: Recipe
    seen: list[Seen]


def prepare(data: Any, seed: int, dtype: Any, loss: Any = None, strict: bool = False, look: bool = False) -> Prepared:
    """Read, split, fit and apply as in the section `data`.

    Parameters
    ----------
    data : Data
    seed : int
    dtype
    loss : Loss, optional
        By default the task decides.
    strict : bool
        Whether categories that the training rows do not have are refused in the others, rather than said.
    look : bool
        Whether inputs that alone tell a target are looked for, and said.
    """
    frames, columns, task, whole = frames_of(data, seed)
    train = frames["train"]
    loss = loss_of(LOSS_OF[task]) if loss is None else loss
    fits_task(task, loss, columns)
    if data.clamp_target and task != "numbers":
        raise ConfigError("data.clamp_target", f"must be `false` where targets are {task}", "`true`")
    outputs = Outputs(task, columns, transforms=transforms_of(data.target_transform, task, loss, columns))
    outputs.fit(train, data.scale_target and loss.scaled, data.clamp_target)
    inputs, weight, seen = column_plan(train, data, columns, whole)
    scales = {part.name: numbers.scale for part in inputs.parts if (numbers := _numbers(part))}
    told = {name for name, scale in scales.items() if scale == "auto" or scale != data.scale}
    inputs.fit(train)
    fitted = {part.name: part for part in inputs.parts}
    seen = [_seen(one, fitted[one.name], one.name in told) if one.name in fitted else one for one in seen]
    say_many(train.origin, len(train), inputs.categories)
    if look:
        named = [part.name for part in inputs.parts if part.name is not None]
        say_leaks(whole.origin, leaks_of(whole, named, columns, task))
    say_styles(train, [*columns, weight, *(part.name for part in inputs.parts)])
    recipe = Recipe(inputs, outputs, loss.named, weight, Raw.of(data, train.columns.values()))
    parts = {name: part_of(recipe, frame, dtype, name, strict) for name, frame in frames.items()}
    return Prepared(parts, recipe, seen)


def _numbers(part: Encoding) -> Numbers | None:
    """The numbers of an encoding, if it has some."""
    return part if isinstance(part, Numbers) else part.numbers if isinstance(part, Dates) else None


def _seen(one: Seen, part: Encoding, told: bool) -> Seen:
    """What a column is, with what was fitted to it; its scale where that is `told`."""
    if isinstance(part, Category):
        assert part.size is not None
        return replace(one, encode=part.encode, width=part.width if part.encode == "one_hot" else part.size)
    return replace(one, scale=_scale(part) if told else "", width=part.width)


def _scale(part: Encoding) -> str:
    """The scale that a column has, or the scales that the numbers of a date have."""
    numbers = _numbers(part)
    assert numbers is not None
    if isinstance(numbers.scale, str):
        return numbers.scale
    assert isinstance(part, Dates)
    return ", ".join(f"{name} {one}" for name, one in zip(part.parts, numbers.scale, strict=True))


def part_of(
    recipe: Recipe,
    frame: Frame,
    dtype: Any,
    name: str = "",
    strict: bool = False,
    unseen: list[Unseen] | None = None,
) -> Part:
    """Rows with their targets, ready for the network; see `Recipe.matrix`."""
    weight = None
    if recipe.weight is not None:
        weight = frame.numbers(recipe.weight)
        bad = ~((weight >= 0.0) & (weight < np.inf))
        if bad.any():
            row = int(np.argmax(bad))
            found = "none" if np.isnan(weight[row]) else f"`{weight[row]}`"
            raise DataError(
                f"{frame.place(row)}weight `{visible(recipe.weight)}` must be finite and at least 0, got {found}"
            )
    outputs = recipe.outputs
    numbers = outputs.values(frame) if outputs.task == "numbers" else None
    matrix, targets = recipe.matrix(frame, np.dtype(dtype), name, strict, unseen), outputs.targets(frame, dtype)
    return Part(matrix, targets, weight, numbers, frame.rows)


def fits_task(task: str, loss: Loss, columns: Sequence[str]) -> None:
    """Refuse a loss that does not fit the targets."""
    if task not in loss.tasks:
        raise ConfigError(
            "trainer.loss",
            f"must be one for {task}, such as `{LOSS_OF[task]}`, as target `{visible(columns[0])}` is",
            f"`{visible(str(loss.named))}`",
            hint="set `data.task` if the kind of target was inferred wrongly",
        )


def transforms_of(said: str | dict[str, str], task: str, loss: Loss, columns: Sequence[str]) -> list[Transform]:
    """The transform of each target; refuses those that do not fit the targets."""
    where = "data.target_transform"
    named = said if isinstance(said, dict) else dict.fromkeys(columns, said)
    for name in named:
        if name not in columns:
            raise not_one_of(where, name, columns)
    given = next((name for name in named.values() if name != "none"), None)
    if given is not None and task != "numbers":
        hint = "`data.task: numbers` has numbers predicted as such" if task == "classes" else None
        raise ConfigError(where, f"must be `none` where targets are {task}", f"`{given}`", hint)
    if given is not None and not loss.scaled:
        must = f"must be `none` with loss `{visible(str(loss.named))}`, which takes numbers as they are"
        raise ConfigError(where, must, f"`{given}`")
    return [Transform(named.get(name, "none")) for name in columns] if task == "numbers" else []


@contextmanager
def reading_once() -> Iterator[None]:
    """Inside, files that are prepared several times, for other parts of the same rows, are read and parsed once."""
    before, _READ.tables = getattr(_READ, "tables", None), {}
    try:
        yield
    finally:
        _READ.tables = before


def _read(paths: Any, data: Any) -> Frame:
    """The rows of some files; frames are not changed, so they may be shared."""
    tables: dict[str, Frame] | None = getattr(_READ, "tables", None)
    if tables is None:
        return read_paths(paths, data)
    if repr(paths) not in tables:
        tables[repr(paths)] = read_paths(paths, data)
    return tables[repr(paths)]


def frames_of(data: Any, seed: int) -> tuple[dict[str, Frame], list[str], str, Frame]:
    """The splits of the rows, target columns, task, and the table that was split."""
    if data.source == "digits":
        if data.split == type(data.split)():
            parts = {name: _of_pair(*digits(name), "digits") for name in DIGITS}
            return parts, [TARGET], "classes", parts["train"]
        frame = _of_pair(*digits(), "digits")
        return divided(frame, data, seed, [TARGET], "classes"), [TARGET], "classes", frame
    if data.source in SYNTHETIC:
        drawn = seed if data.seed is None else data.seed
        frame = _of_pair(*SYNTHETIC[data.source](data.rows, data.noise, data.classes, drawn), data.source)
        task = "numbers" if data.source == "friedman" else "classes"
        return divided(frame, data, seed, [TARGET], task), [TARGET], task, frame
    if data.path is not None:
        frame = _read(data.path, data)
        columns = target_columns(frame, data)
        if data.missing_target == "drop":
            frame = with_targets(frame, columns)
        task = task_of(frame, columns, data.task)
        return divided(frame, data, seed, columns, task), columns, task, frame
    given = {name: _read(getattr(data, name), data) for name in PARTS if getattr(data, name) is not None}
    columns = target_columns(given["train"], data)
    if data.missing_target == "drop":
        given = {name: with_targets(part, columns, name) for name, part in given.items()}
    frame = given["train"]
    task = task_of(frame, columns, data.task)
    if data.split.column is not None:
        raise ConfigError("data.split.column", "must be given together with `data.path`, not `data.train`")
    if "validation" not in given and (data.split.validation > 0.0 or data.split.folds is not None):
        said = type(data.split)(**{f: getattr(data.split, f) for f in data.split.__struct_fields__})
        if "test" in given:
            said.test = 0.0
        apart = divided(frame, data, seed, columns, task, said)
        given = {**apart, **{name: f for name, f in given.items() if name != "train"}}
    return given, columns, task, frame


def _of_pair(X: Array, y: Array, origin: str) -> Frame:
    return Frame(X, {TARGET: Column(TARGET, y.astype(np.float64))}, origin)


def target_columns(frame: Frame, data: Any) -> list[str]:
    """The columns to predict."""
    if data.target is not None:
        names = [data.target] if isinstance(data.target, str) else list(data.target)
    else:
        names = [n for n, v in data.columns.items() if (v if isinstance(v, str) else v.get("type")) == "target"]
    if not names:
        if frame.matrix is not None and len(frame.columns) == 1:
            return list(frame.columns)
        if "y" in frame.columns and frame.matrix is not None:
            return ["y"]
        shown = ", ".join(f"`{visible(n)}`" for n in frame.columns) or "no named columns"
        raise ConfigError("data.target", f"must name what to predict in {frame.origin}; there are {shown}")
    many = [c for name in names for c in ([name] if name in frame.columns else _numbered(frame, name))]
    return many


def _numbered(frame: Frame, name: str) -> list[str]:
    """The columns y0, y1, ... of an array y that has several."""
    found = [c for c in frame.columns if c.startswith(name) and c[len(name) :].isdecimal()]
    if not found:
        raise missing_column(frame, name)
    return found


def task_of(frame: Frame, columns: Sequence[str], task: str | None) -> str:
    """Infer the task: classes for texts and numbers that are codes, labels for several columns of 0 and 1."""
    if task is not None:
        if task == "classes" and len(columns) > 1:
            raise ConfigError("data.task", "`classes` must have one target column", str(len(columns)))
        return task
    if len(columns) > 1:
        every = [frame.columns[c] for c in columns]
        if any(c.is_text for c in every):
            raise ConfigError("data.target", "must be one column of classes or several of numbers", "several of texts")
        return "labels" if all(np.isin(c.values, (0.0, 1.0)).all() for c in every) else "numbers"
    column = frame.columns[columns[0]]
    if column.is_text:
        return _of_texts(frame, column)
    return "classes" if are_classes(frame.numbers(columns[0])) else "numbers"


def _of_texts(frame: Frame, column: Column) -> str:
    """The task of a column of texts: classes, or numbers that a file has as texts.

    Dates, texts that all differ, and numbers with a mistake among them are hardly meant as classes, and refused.
    """
    kind, name = kind_of(column), visible(column.name)
    hint = "name another target, or have every text be a class by `data.task: classes`"
    if kind.name == "date":
        raise DataError(f"{frame.origin}: target `{name}` must be classes or numbers, got {kind.about}", hint=hint)
    if kind.name == "number":
        try:
            frame.numbers(column.name)
            return "numbers"
        except DataError as error:
            raise error.at(
                hint=f"if it means that there is none, list it in `data.missing_texts`; else {hint}"
            ) from None
    if kind.name == "ignore" and kind.otherwise:
        raise DataError(f"{frame.origin}: target `{name}` must have classes that repeat, got {kind.about}", hint=hint)
    return "classes"


def divided(
    frame: Frame, data: Any, seed: int, columns: Sequence[str], task: str, said: Any = None
) -> dict[str, Frame]:
    """The splits of one table."""
    said = said or data.split
    if said.column is not None:
        values = frame.texts(said.column)
        found = {name: np.flatnonzero(values == name) for name in PARTS}
        row = next((i for i, v in enumerate(values.tolist()) if v not in PARTS), None)
        if row is not None:
            what = "none" if values[row] is None else f"`{visible(values[row])}`"
            raise DataError(
                f"{frame.place(row)}column `{visible(said.column)}` must be `train`, `validation` or `test`, got {what}"
            )
        if not len(found["train"]):
            raise DataError(f"{frame.origin}: column `{visible(said.column)}` must be `train` for some rows")
    else:
        stratified = task == "classes" and said.group is None if said.stratify is None else said.stratify
        if stratified and said.group is not None:
            raise ConfigError("data.split.stratify", "must be false where `data.split.group` is given", "true")
        if stratified and task != "classes":
            raise ConfigError("data.split.stratify", f"must be false where targets are {task}", "true")
        found = split(
            len(frame),
            seed if said.seed is None else said.seed,
            said.validation,
            said.test,
            classes=as_text_array(frame, columns[0]) if stratified else None,
            groups=as_text_array(frame, said.group) if said.group is not None else None,
            folds=said.folds,
            fold=said.fold,
        )
    return {name: frame.take(rows) for name, rows in found.items() if len(rows)}


def as_text_array(frame: Frame, name: str) -> Array:
    """A column as an array of strings that NumPy can sort; equal values are equal strings."""
    texts = ["" if v is None else v for v in frame.texts(name).tolist()]
    key = Keys(texts)
    said = {text: key(text) for text in set(texts)}
    return np.array([said[text] for text in texts])
