"""Configurations with random damage are read or answered with one sentence, never with a traceback."""

import copy
import json
import random

import pytest

from fastbp.config.build import plan_of
from fastbp.config.schema import SECTIONS
from fastbp.config.text import as_yaml, parse
from fastbp.errors import ConfigError
from tests.config.test_resolve import CASES

GOOD = [parse(content).data for content in CASES.values()]
VALUES = [
    *(None, True, 0, -1, 1.5, 1e308, float("nan"), 2**63, 10**30, "", "x", "1", "a\nb", "\x00", "normal"),
    *([], [1], ["a"], [None], [[1]], [{}], [1, "a", None], {}, {"a": 1}, {"0": [1, 2]}),
    *(
        {"name": "x"},
        {"name": None},
        {"name": ["a"]},
        {"name": {}},
        {"name": "constant"},
        {"name": "normal", "scale": []},
    ),
]
PIECES = [
    *"[]{}:,.'\"#\n \t=-&*!|>%@`\\0e1x\x00é~?",
    "'''",
    '"""',
    "[[",
    "\n- ",
    "---\n",
    "\\ud800",
    "<<: ",
    "null",
    ".nan",
]
TOML = """name = "a"
[data]
source = "moons"
split.folds = 3
[[network.layers]]
name = "linear"
features = 2
[trainer]
optimizer = {name = "sgd", lr = 0.1}
[trainer.lr_factors]
"0.weight" = 0.5
"""


def answered(content, suffix):
    """Read it; where it is refused, by one sentence with its place and at most one hint."""
    try:
        plan_of(parse(content, "config", suffix))
    except ConfigError as error:
        sentence, *hints = str(error).split("\n")
        assert sentence.startswith("config:")
        assert " must " in sentence
        assert len(hints) <= 1
        assert all(hint.startswith("hint: ") for hint in hints)


def places(value, path=()):
    """Every key and index inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def put(data, path, value):
    """Put a value at a path, as far as there is one."""
    for i, key in enumerate(path):
        if not (isinstance(data, dict) or (isinstance(data, list) and key in range(len(data)))):
            return
        if i == len(path) - 1:
            data[key] = copy.deepcopy(value)
        else:
            data = data[key] if isinstance(data, list) else data.setdefault(key, {})


@pytest.mark.parametrize("seed", range(20))
def test_wrong_values_are_answered(seed):
    rng = random.Random(seed)
    keys = [(*filter(None, path.split(".")), name) for path, cls in SECTIONS.items() for name in cls.__struct_fields__]
    for _ in range(40):
        data = copy.deepcopy(rng.choice(GOOD))
        for _ in range(rng.choice([1, 1, 2])):
            put(data, rng.choice([rng.choice(keys), rng.choice(list(places(data)) or keys)]), rng.choice(VALUES))
        answered(as_yaml(data), ".yaml")
        answered(json.dumps(data), ".json")


@pytest.mark.parametrize("suffix", [".yaml", ".json", ".toml"])
@pytest.mark.parametrize("seed", range(10))
def test_wrong_characters_are_answered(suffix, seed):
    if suffix == ".toml":
        pytest.importorskip("tomllib")
    rng = random.Random(seed)
    contents = {".yaml": list(CASES.values()), ".json": [json.dumps(d, indent=1) for d in GOOD], ".toml": [TOML]}[
        suffix
    ]
    for _ in range(80):
        content = rng.choice(contents)
        for _ in range(rng.choice([1, 1, 2])):
            at, length = rng.randrange(len(content)), rng.choice([0, 0, 1, 1, 2, 8])
            content = content[:at] + rng.choice(PIECES) + content[at + length :]
        answered(content, suffix)
