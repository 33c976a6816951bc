"""The schema for editors accepts what the checks accept, and the reference page has every key."""

import dataclasses
import json
import re

import msgspec
import pytest

from fastbp.cli.main import main
from fastbp.config.build import plan_of
from fastbp.config.check import checked, choices
from fastbp.config.describe import json_schema, keys, tables
from fastbp.config.schema import SECTIONS
from fastbp.config.searchers import PRUNERS, SAMPLERS
from fastbp.config.text import parse
from fastbp.errors import ConfigError
from fastbp.spec.catalogue import ACTIVATIONS, LAYERS, LOSSES
from fastbp.spec.embeddings import EMBEDDERS
from fastbp.spec.initial import INITIALISERS
from fastbp.train.catalogue import OPTIMIZERS
from fastbp.train.schedules import SCHEDULES
from tests.config import broken_data, broken_layers, broken_losses, broken_network, broken_optimizers, broken_sections
from tests.config.test_resolve import CASES as GOOD

SCHEMA = json_schema()
TYPES = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
}
LIMITS = {
    "minimum": lambda v, limit: v >= limit,
    "maximum": lambda v, limit: v <= limit,
    "exclusiveMinimum": lambda v, limit: v > limit,
    "exclusiveMaximum": lambda v, limit: v < limit,
    "minLength": lambda v, limit: len(v) >= limit,
    "maxLength": lambda v, limit: len(v) <= limit,
    "minItems": lambda v, limit: len(v) >= limit,
    "maxItems": lambda v, limit: len(v) <= limit,
    "pattern": lambda v, limit: re.search(limit, v) is not None,
    "enum": lambda v, limit: any(v == one and type(v) is type(one) for one in limit),
    "const": lambda v, limit: v == limit,
}
SILENT = {"$ref", "$defs", "$schema", "title", "description", "default", "type", "anyOf", "items", "required"}
SILENT |= {"properties", "additionalProperties", "examples"}


def applies(word, value):
    """Whether a limit is one for values of this type."""
    if word in ("enum", "const"):
        return True
    return TYPES["number" if "imum" in word else "array" if word.endswith("Items") else "string"](value)


def accepts(schema, value):
    """Whether a value is what a JSON schema describes, for the words that ours uses."""
    if "$ref" in schema and not accepts(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], value):
        return False
    if "anyOf" in schema and not any(accepts(one, value) for one in schema["anyOf"]):
        return False
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(TYPES[kind](value) for kind in kinds):
        return False
    if not all(holds(value, schema[word]) for word, holds in LIMITS.items() if word in schema and applies(word, value)):
        return False
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), item) for item in value)
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        if any(key not in value for key in schema.get("required", [])):
            return False
        rest = [v for k, v in value.items() if k not in known]
        if other is False and rest:
            return False
        own = all(accepts(known[k], v) for k, v in value.items() if k in known)
        return own and all(accepts(other, v) for v in rest if isinstance(other, dict))
    return True


def words_of(schema):
    """Every word of a schema, wherever it stands."""
    found = set()
    for word, value in schema.items():
        found.add(word)
        parts = value.values() if word in ("properties", "$defs") else value if word == "anyOf" else [value]
        for part in parts:
            if isinstance(part, dict) and word in ("properties", "$defs", "anyOf", "items", "additionalProperties"):
                found |= words_of(part)
    return found


def test_every_word_of_the_schema_is_one_that_is_looked_at_here():
    assert words_of(SCHEMA) <= SILENT | set(LIMITS)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1}, [1, 2], [0, 1.5, True, "1", None]),
        ({"type": ["number", "null"]}, [1, 0.5, None], ["1", False, []]),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, ["a", None], ["b", 1]),
        ({"properties": {"a": {"const": "x"}}, "required": ["a"]}, [{"a": "x"}, {"a": "x", "b": 1}], [{}, {"a": "y"}]),
        ({"properties": {}, "additionalProperties": False}, [{}], [{"a": 1}]),
        ({"type": "array", "items": {"type": "string"}}, [[], ["a"]], [["a", 1], "a"]),
        ({"type": "string", "pattern": "^a$", "maxLength": 1}, ["a"], ["b", "aa"]),
        ({"$ref": "#/$defs/Split"}, [{}, {"folds": 2}], [{"folds": 1}, {"fold_s": 2}, []]),
    ],
)
def test_the_validator_of_these_tests_can_refuse(schema, good, bad):
    assert all(accepts(schema, value) for value in good)
    assert not any(accepts(schema, value) for value in bad)


@pytest.mark.parametrize("case", GOOD)
def test_the_schema_accepts_what_the_checks_accept(case):
    text = parse(GOOD[case])
    plan_of(text)
    assert accepts(SCHEMA, text.data)


def judged_by_more_than_types():
    """Broken configurations that a schema can refuse: those whose types, names or limits of keys are wrong."""
    for table in (broken_data, broken_sections, broken_network, broken_layers, broken_losses, broken_optimizers):
        for name, (content, message) in table.CASES.items():
            if "must have known keys only" in message or "must be one of" in message:
                yield f"{table.__name__.rpartition('_')[2]}: {name}", content


REFUSED = {
    name: content
    for name, content in judged_by_more_than_types()
    # What a column, an initialiser inside of a layer or a word among settings may be is left to the checks.
    if not re.search("column |parametric of|linear init|linear bias_init|reduction|approximate|init setting unk", name)
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_schema_refuses_unknown_keys_and_names(case):
    assert not accepts(SCHEMA, parse(REFUSED[case]).data)


BAD = [
    *("seed: -1", "seed: 1.5", "name: a/b", "dtype: 3", "data: 3", "run: {checkpoint_seconds: -1}"),
    *("data: {rows: 0}", "data: {delimiter: ab}", "data: {header: 1}", "data: {split: {validation: 2}}"),
    *("network: {hidden: 3}", "network: {hidden: [0]}", "network: {dropout: 1}", "network: {layers: linear}"),
    *("network: {layers: [{name: linear}]}", "network: {layers: [{name: linear, features: x}]}"),
    *("trainer: {epochs: 0}", "trainer: {ema: 1}", "trainer: {clip_norm: 0}", "trainer: {lr_factors: {a: x}}"),
    *("trainer: {optimizer: {lr: 1}}", "trainer: {optimizer: {name: adam, lr: x}}", "trainer: {schedule: step}"),
    *("trainer: {optimizer: {name: adam, betas: [0.9]}}", "trainer: {schedule: {name: multi_step, milestones: 5}}"),
    *("trainer: {reduce_lr: {factor: 0}}", "trainer: {early_stopping: {patience: 1.5}}", "trainer: {threads: 0}"),
]


@pytest.mark.parametrize("content", BAD)
def test_the_schema_and_the_checks_refuse(content):
    text = parse(content)
    assert not accepts(SCHEMA, text.data)
    with pytest.raises(ConfigError):
        plan_of(text)


@pytest.mark.parametrize("content", [GOOD["nothing but data"], GOOD["trainer"], GOOD["optimizer adam"]])
def test_the_schema_accepts_resolved_configs(content, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(content)
    assert main(["train", str(tmp_path / "c.yaml"), "--print-config"]) == 0
    assert accepts(SCHEMA, parse(capsys.readouterr().out).data)


def test_the_command_prints_it(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(SCHEMA))


# What is in it


@pytest.mark.parametrize("path", SECTIONS)
def test_every_key_of_a_section_is_described_and_has_its_default(path):
    section = SECTIONS[path]
    part = SCHEMA["$defs"][section.__name__]
    assert set(part["properties"]) == set(section.__struct_fields__)
    assert part["additionalProperties"] is False
    for name, default in msgspec.to_builtins(section()).items():
        entry = part["properties"][name]
        assert re.fullmatch(r"[`A-Z].*\.", entry["description"], re.DOTALL), name
        inner = f"{path}.{name}".lstrip(".") in SECTIONS
        assert entry["default"] == default if not inner or default is None else "default" not in entry


@pytest.mark.parametrize("path", SECTIONS)
def test_defaults_are_allowed(path):
    part = SCHEMA["$defs"][SECTIONS[path].__name__]
    for entry in part["properties"].values():
        assert "default" not in entry or accepts(entry, entry["default"])


EVERY = {
    "network.activation": set(ACTIVATIONS),
    "network.embed_numbers": set(EMBEDDERS),
    "network.layers": {*ACTIVATIONS, *LAYERS} - {"custom"},
    "network.init": {*INITIALISERS, "std"},
    "network.bias_init": {*INITIALISERS, "he5"},
    "network.last_init": set(INITIALISERS),
    "trainer.loss": set(LOSSES),
    "trainer.optimizer": {*OPTIMIZERS, "lbfgs"},
    "trainer.schedule": set(SCHEDULES),
    **{f"trainer.schedules.{name}": set(SCHEDULES) for name in ("dropout", "weight_decay", "label_smoothing")},
    "sweep.sampler": set(SAMPLERS),
    "sweep.pruner": set(PRUNERS),
}


@pytest.mark.parametrize("path", EVERY)
def test_every_named_thing_is_in_the_schema_with_its_settings(path):
    section, _, key = path.rpartition(".")
    entry = SCHEMA["$defs"][SECTIONS[section].__name__]["properties"][key]
    options = entry["anyOf"][0]["items"]["anyOf"] if key == "layers" else entry["anyOf"]
    named = [o for o in options if "const" in o.get("properties", {}).get("name", ())]
    maps = {o["properties"]["name"]["const"]: o for o in named}
    place = {"as", "from"} if key == "layers" else set()
    assert set(tables()) == set(EVERY)
    assert set(maps) == set(tables()[path]) == EVERY[path]
    for name, cls in tables()[path].items():
        if cls is None:
            assert set(maps[name]["properties"]) == {"name", "scale"}
            continue
        fields = [f for f in dataclasses.fields(cls) if f.init]
        needed = [f.name for f in fields if f.default is dataclasses.MISSING]
        assert set(maps[name]["properties"]) == {"name", *(f.name for f in fields), *place}
        assert maps[name]["required"] == ["name", *needed]
        assert (name in options[0]["enum"]) is not bool(needed)
        for f in fields:
            said = maps[name]["properties"][f.name]
            assert ("default" in said) is (f.name not in needed)
            assert "default" not in said or accepts(said, said["default"])


@pytest.mark.parametrize(
    ("layer", "good"),
    [
        ("{name: add, from: [a, inputs], as: b}", True),
        ("{name: relu, from: inputs}", True),
        ("{share: a}", True),
        ("{share: a, as: c, from: [b]}", True),
        ("{share: a, name: relu}", False),
        ("{share: a, features: 3}", False),
        ("{as: a}", False),
        ("{name: relu, as: 3}", False),
        ("{name: add, from: [1, 2]}", False),
        ("{name: add, form: a}", False),
    ],
)
def test_the_schema_knows_where_a_layer_may_stand(layer, good):
    assert accepts(SCHEMA, parse(f"data: {{source: digits}}\nnetwork: {{layers: [{layer}]}}").data) is good


# The reference page


def test_the_page_has_every_key_in_order():
    shown = [key.path for key in keys()]
    always = {"data", "network", "trainer", "run", "data.split"}
    known = [f"{path}.{name}".lstrip(".") for path, cls in SECTIONS.items() for name in cls.__struct_fields__]
    assert shown == [path for path in known if path not in always]


@pytest.mark.parametrize("key", keys(), ids=lambda key: key.path)
def test_a_row_of_the_page_is_complete(key):
    assert key.must
    assert "anything" not in key.must
    assert key.default
    assert key.about.endswith(".")


@pytest.mark.parametrize(
    ("path", "must", "default"),
    [
        ("name", "text", "`run`"),
        ("seed", "a whole number, at least 0", "`0`"),
        ("dtype", "`float32`, `float64`", "`float32`"),
        ("data.path", "text, a list of text, or null", "null"),
        ("data.rows", "a whole number, at least 1, at most 100000000", "`1000`"),
        ("data.delimiter", "one character or null", "null"),
        ("data.split.stratify", "true, false or null", "null"),
        ("data.split.folds", "a whole number, at least 2, or null", "null"),
        ("network.hidden", "a list of whole numbers, at least 1, or null", "null"),
        ("network.activation", "a name, or a map with `name`", "`relu`"),
        ("network.layers", "a list of names or maps", "null"),
        ("trainer.ema", "a number, at least 0, below 1, or null", "null"),
        ("trainer.early_stopping", "a map or null", "null"),
        ("trainer.frozen", "a list of text", "`[]`"),
        ("trainer.reduce_lr.min_delta", "a number, at least 0", "`0.0001`"),
    ],
)
def test_a_row_of_the_page_says(path, must, default):
    row = {key.path: key for key in keys()}[path]
    assert (row.must, row.default) == (must, default)


def test_choices_are_those_of_the_schema():
    assert choices(SECTIONS["data"], "missing") == ["constant", "mean", "median", "refuse"]
    assert choices(SECTIONS["network"], "norm") == ["batch_norm", "layer_norm", "rms_norm"]
    assert choices(SECTIONS["trainer"], "epochs") == []


def test_a_section_by_itself_is_checked_with_its_defaults():
    config = checked(parse("trainer: {early_stopping: {}}"))
    assert config.trainer.early_stopping is not None
    assert config.trainer.early_stopping.patience == 10
    assert config.trainer.reduce_lr is None
