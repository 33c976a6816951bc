"""Recipes out of files: what `to_data` wrote is read, and anything else is refused in one sentence."""

import copy
import json
import math
import random

import numpy as np
import pytest

from fastbp.data.categories import Category
from fastbp.data.frame import Column, Frame
from fastbp.data.inputs import Inputs
from fastbp.data.numbers import Numbers
from fastbp.data.outputs import Outputs
from fastbp.data.prepare import LOSS_OF
from fastbp.data.recipe import Recipe
from fastbp.errors import CheckpointError, DataWarning


def stored(task="classes", loss=None):
    """What a file has of a recipe with a part of each kind."""
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=40) for name in "abc"}
    columns["a"][::7] = np.nan
    columns["y"] = np.arange(40) % (3 if task == "classes" else 2) * 1.0
    frame = Frame(rng.random((40, 2)), {k: Column(k, v) for k, v in columns.items()}, "t.csv")
    frame.columns["k"] = Column("k", np.array(["u", "v"] * 20, object))
    frame.columns["l"] = Column("l", np.array(["u", "v"] * 20, object))
    parts = [
        *(Numbers(None, "standard", "mean"), Numbers("a", "quantile", "median", 0.0, True)),
        *(Category("k", "one_hot"), Category("l", "embedding", size=3)),
    ]
    inputs, outputs = Inputs(parts), Outputs(task, ["y"])
    inputs.fit(frame)
    outputs.fit(frame, True)
    return json.loads(json.dumps(Recipe(inputs, outputs, loss or LOSS_OF[task], "w").to_data()))


def put(data, path, value):
    """The data with another value at a path; `...` takes it away."""
    out = copy.deepcopy(data)
    at = out
    for part in path[:-1]:
        at = at[part]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return out


@pytest.mark.parametrize("task", ["classes", "labels", "numbers"])
def test_what_was_written_is_read(task):
    data = stored(task)
    assert json.loads(json.dumps(Recipe.from_data(data).to_data())) == data


def test_recipes_of_older_versions_are_read_and_refuse_nothing():
    data = stored()
    del data["raw"]
    for part in data["inputs"][2:]:
        del part["unseen"], part["min_frequency"]
        part["rare"] = 2
    recipe = Recipe.from_data(data)
    frame = Frame(np.zeros((40, 2)), {"a": Column("a", np.zeros(40))}, "t.csv")
    frame.columns |= {name: Column(name, np.array(["x"] * 40, object)) for name in "kl"}
    with pytest.warns(DataWarning, match="in 40 of 40 rows"):
        assert not recipe.matrix(frame, np.float32)[:, -3:].any()
    assert (recipe.raw.unseen, recipe.raw.drop, recipe.raw.styles) == (1.0, False, {})
    assert [(part.min_frequency, part.rare) for part in recipe.inputs.parts[2:]] == [(2, []), (2, [])]


IN, QUANTILE, KIND, EMBEDDED = (("inputs", i) for i in range(4))
ROWS = "a list with rows where `scale` is `quantile`, and empty elsewhere"
BROKEN = [
    (None, "`recipe` must be an object, got `null`", ()),
    ([], "`recipe` must be an object, got an empty list", ()),
    (..., "`recipe` must have `loss`", ("loss",)),
    (1, "`recipe` must have known keys only, got `more`", ("more",)),
    (3, "`inputs` must be a list, got `3`", ("inputs",)),
    (7, "`inputs[0]` must be an object, got `7`", IN),
    (..., "`inputs[0]` must have `kind`", (*IN, "kind")),
    ("text", "`inputs[0].kind` must be one of `numbers`, `category`, `dates`, `words`, got `text`", (*IN, "kind")),
    ([1], "`inputs[0].kind` must be a text, got a list", (*IN, "kind")),
    (..., "`inputs[0]` must have `knots`", (*IN, "knots")),
    (5, "`inputs[1].name` must be a text, got `5`", (*QUANTILE, "name")),
    ("k", "`inputs[2].name` must differ from those before it, got `k`", (*QUANTILE, "name")),
    (
        "zzz",
        "`inputs[0].scale` must be one of `standard`, `robust`, `quantile`, `noisy_quantile`, `none`, got `zzz`",
        (*IN, "scale"),
    ),
    ("zzz", "`inputs[0].missing` must be one of `mean`, `median`, `constant`, `refuse`, got `zzz`", (*IN, "missing")),
    ("1", "`inputs[0].value` must be a finite number, got `1`", (*IN, "value")),
    (10**400, "`inputs[0].value` must be a finite number, got `100000", (*IN, "value")),
    (True, "`inputs[0].value` must be a finite number, got `true`", (*IN, "value")),
    (1, "`inputs[0].indicator` must be true or false, got `1`", (*IN, "indicator")),
    ("none", "`inputs[0].fill` must be a list, got `none`", (*IN, "fill")),
    ([], "`inputs[0].fill` must have a number at least, got an empty list", (*IN, "fill")),
    (["1", 2], "`inputs[0].fill[0]` must be a finite number, got `1`", (*IN, "fill")),
    ([1.0, math.nan], "`inputs[0].fill[1]` must be a finite number, got `nan`", (*IN, "fill")),
    ([1.0, 2.0], "`inputs[1].fill` must have 1 number, got 2", (*QUANTILE, "fill")),
    ([1.0], "`inputs[0].center` must have 2 numbers, got 1", (*IN, "center")),
    ([1.0, 0.0], "`inputs[0].spread[1]` must be above 0, got `0.0`", (*IN, "spread")),
    ([-1.0, 1.0], "`inputs[0].spread[0]` must be above 0, got `-1.0`", (*IN, "spread")),
    ([[1.0]], "`inputs[0].knots[0]` must have 2 numbers, got 1", (*IN, "knots")),
    ([[1.0, 2.0]], f"`inputs[0].knots` must be {ROWS}, got a list", (*IN, "knots")),
    ([], f"`inputs[1].knots` must be {ROWS}, got an empty list", (*QUANTILE, "knots")),
    ([1.0], "`inputs[1].knots[0]` must be a list, got `1.0`", (*QUANTILE, "knots")),
    ([True], "`inputs[0].holes` must have 2 booleans, got 1", (*IN, "holes")),
    ([0, 1], "`inputs[0].holes[0]` must be true or false, got `0`", (*IN, "holes")),
    ("hash", "`inputs[2].encode` must be one of `one_hot`, `embedding`, got `hash`", (*KIND, "encode")),
    (0, "`inputs[2].min_frequency` must be a whole number, at least 1, got `0`", (*KIND, "min_frequency")),
    (["w", "v"], "`inputs[2].rare[1]` must be none of `inputs[2].values`, got `v`", (*KIND, "rare")),
    (2, "`inputs[2].rare` must be a list, got `2`", (*KIND, "rare")),
    (2.0, "`inputs[3].size` must be a whole number, at least 1, got `2.0`", (*EMBEDDED, "size")),
    (None, "`inputs[3].size` must be a whole number, at least 1, got `null`", (*EMBEDDED, "size")),
    ("uv", "`inputs[2].values` must be a list, got `uv`", (*KIND, "values")),
    (["u", 1], "`inputs[2].values[1]` must be a text, got `1`", (*KIND, "values")),
    (["u", "u"], "`inputs[2].values[1]` must differ from the others of `inputs[2].values`, got `u`", (*KIND, "values")),
    ("zzz", "`outputs.task` must be one of `classes`, `labels`, `numbers`, got `zzz`", ("outputs", "task")),
    ([], "`outputs.columns` must name one column, got an empty list", ("outputs", "columns")),
    (["y", "z"], "`outputs.columns` must name one column, got a list", ("outputs", "columns")),
    (["0"], "`outputs.names` must name two classes at least, got a list", ("outputs", "names")),
    (["0", "0"], "`outputs.names[1]` must differ from the others of `outputs.names`, got `0`", ("outputs", "names")),
    ([0.0], "`outputs.center` must have 0 numbers, got 1", ("outputs", "center")),
    ("zzz", "`loss` must be one of ", ("loss",)),
    ({}, "`loss` must be a text, got an object", ("loss",)),
    ("mse", "`loss` must be one for classes, got `mse`", ("loss",)),
    ([], "`weight` must be a text, got an empty list", ("weight",)),
    (1.5, "`inputs[2].unseen` must be from 0 to 1, got `1.5`", (*KIND, "unseen")),
    ([], "`raw` must be an object, got an empty list", ("raw",)),
    (..., "`raw` must have `drop`", ("raw", "drop")),
    ({"a": 1}, "`raw.styles[a]` must be an object, got `1`", ("raw", "styles")),
    ({"a": {"decimal": ";", "missing": []}},
     "`raw.styles[a].decimal` must be one of `.`, `,`, got `;`", ("raw", "styles")),
    ("-", "`raw.missing` must be a list, got `-`", ("raw", "missing")),
    (-0.5, "`raw.unseen` must be from 0 to 1, got `-0.5`", ("raw", "unseen")),
    ("\x1b[2J" * 99, "`inputs[2].encode` must be one of `one_hot`, `embedding`, got `\\x1b[2J", (*KIND, "encode")),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected", "path"), BROKEN, ids=[f"{i}" for i in range(len(BROKEN))])
def test_what_was_not_written_is_refused(value, expected, path):
    with pytest.raises(CheckpointError) as caught:
        Recipe.from_data(put(stored(), path, value) if path else value)
    assert str(caught.value).startswith(expected)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
    if expected[-1] == "`":
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("names",), ["z"], "`outputs.names` must be those of `outputs.columns`, got a list"),
        (("spread",), [0], "`outputs.spread[0]` must be above 0, got `0`"),
        (("center",), [], "`outputs.center` must have 1 number, got 0"),
    ],
)
def test_targets_that_are_numbers_have_a_scale_each(path, value, expected):
    with pytest.raises(CheckpointError) as caught:
        Recipe.from_data(put(stored("numbers"), ("outputs", *path), value))
    assert str(caught.value) == expected


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, child in items:
        yield from places(child, (*path, part))


ODD = [
    ...,
    None,
    True,
    False,
    0,
    1,
    -1,
    2.5,
    1e308,
    math.nan,
    math.inf,
    10**30,
    "",
    "a",
    "none",
    [],
    [0],
    [[]],
    {},
    {"a": 1},
]


@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
@pytest.mark.parametrize("task", ["classes", "labels", "numbers"])
def test_nothing_but_that_error_comes_out_of_any_value(task):
    """Every value of a recipe is replaced by every odd one; what is read keeps its shapes."""
    data, rng = stored(task), random.Random(1)
    frame = Frame(np.ones((2, 2)), {k: Column(k, np.ones(2)) for k in "abcklw"}, "t.csv")
    for path in [p for p in places(data) if p]:
        for odd in ODD if "knots" not in path else rng.sample(ODD, 3):
            try:
                found = Recipe.from_data(put(data, path, odd))
            except CheckpointError:
                continue
            try:
                found.check(found.inputs.width, found.outputs.width, {})
                found.predictions(np.ones((2, found.outputs.width), np.float32), True)
                if {getattr(p, "name", None) for p in found.inputs.parts} <= {None, *frame.columns}:
                    found.matrix(frame, np.float64)
            except ValueError as error:  # such as one of DataError: 2 features where the recipe has 1
                assert type(error).__module__ == "fastbp.errors"  # noqa: PT017


def test_a_recipe_is_for_a_network_of_its_sizes():
    recipe = Recipe.from_data(stored())
    assert (recipe.inputs.width, recipe.inputs.embeddings()) == (7, {6: (3, 3)})
    recipe.check(7, 3, {6: (3, 3)})
    for sizes, expected in (
        ((8, 3, {}), "`inputs` must become the network's 8 columns, got 7"),
        ((7, 2, {}), "`outputs` must be the network's 2, got 3"),
        ((7, 3, {6: (2, 3)}), "`inputs` must have codes below 2 in column 6, got 2"),
    ):
        with pytest.raises(CheckpointError) as caught:
            recipe.check(*sizes)
        assert str(caught.value) == expected
    two = put(stored(), ("outputs", "names"), ["no", "yes"])
    Recipe.from_data(two).check(7, 1, {})
    Recipe.from_data(stored("numbers", "gaussian_nll")).check(7, 2, {})
