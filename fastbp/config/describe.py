"""The schema in other forms: JSON schema for editors, and the rows of the reference page."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import msgspec

from fastbp.config.build import LBFGSSettings
from fastbp.config.naming import INIT_OF
from fastbp.config.schema import SECTIONS, Config
from fastbp.config.searchers import PRUNERS, SAMPLERS
from fastbp.config.wiring import layer_table
from fastbp.spec.checks import FORMULA


def tables() -> dict[str, dict[str, Any]]:
    """Path of a key that takes a name, or a map with `name` -> name -> class."""
    from fastbp.spec.catalogue import ACTIVATIONS, LOSSES
    from fastbp.spec.embeddings import EMBEDDERS
    from fastbp.spec.initial import names_for
    from fastbp.train.catalogue import OPTIMIZERS
    from fastbp.train.schedules import OTHERS, SCHEDULES

    activations = {k: v if isinstance(v, type) else type(v()) for k, v in ACTIVATIONS.items()}
    return {
        "network.activation": activations,
        "network.embed_numbers": dict(EMBEDDERS),
        "network.layers": {**layer_table(), **activations},
        **{f"network.{key}": dict.fromkeys(names_for(part)) for key, part in INIT_OF.items()},
        "trainer.loss": dict(LOSSES),
        "trainer.optimizer": {**OPTIMIZERS, "lbfgs": LBFGSSettings},
        "trainer.schedule": dict(SCHEDULES),
        **{f"trainer.schedules.{name}": dict(SCHEDULES) for name in OTHERS},
        "sweep.sampler": dict(SAMPLERS),
        "sweep.pruner": dict(PRUNERS),
    }


def json_schema() -> dict[str, Any]:
    """JSON schema, the settings of layers, losses, optimisers and schedules included."""
    schema: dict[str, Any] = msgspec.json.schema(Config)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "fastbp configuration"
    parts = schema["$defs"]
    for path, table in tables().items():
        section, _, key = path.rpartition(".")
        target = parts[SECTIONS[section].__name__]["properties"][key]
        formulas = [_FORMULA, _formula_map(key)] if key in ("activation", "layers", "loss") else []
        found = {
            "anyOf": [*_variants(table), *formulas, *([{"type": "null"}] if target.get("default", 0) is None else [])]
        }
        if key == "layers":
            for variant in found["anyOf"]:
                if "properties" in variant:
                    variant["properties"] |= _PLACE
            shared = {
                "type": "object",
                "properties": _PLACE | {"share": {"type": "string"}},
                "required": ["share"],
                "additionalProperties": False,
            }
            found = {"anyOf": [{"type": "array", "items": {"anyOf": [*found["anyOf"], shared]}}, {"type": "null"}]}
        for word in ("description", "default"):
            if word in target:
                found[word] = target[word]
        parts[SECTIONS[section].__name__]["properties"][key] = found
    return schema


def _formula_map(key: str) -> dict[str, Any]:
    """A map with a formula and settings."""
    properties: dict[str, Any] = {"name": _FORMULA}
    if key == "loss":
        properties["reduction"] = {"enum": ["mean", "sum"]}
    return {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}


# An activation or a loss may also be a formula.
_FORMULA = {"type": "string", "maxLength": 1000, "pattern": FORMULA}


def _variants(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Bare names of kinds without required settings, and a map for every kind."""
    bare: list[str] = []
    maps: list[dict[str, Any]] = []
    for name, cls in table.items():
        if cls is None:
            bare.append(name)
            scaled: dict[str, Any] = {"name": {"const": name}, "scale": {"type": ["number", "null"]}}
            maps.append({"type": "object", "properties": scaled, "required": ["name"]})
            continue
        fields = [f for f in dataclasses.fields(cls) if f.init]
        needed = [f.name for f in fields if f.default is dataclasses.MISSING]
        if not needed:
            bare.append(name)
        properties: dict[str, Any] = {"name": {"const": name}, **{f.name: _field(f) for f in fields}}
        entry: dict[str, Any] = {"type": "object", "properties": properties, "required": ["name", *needed]}
        maps.append({**entry, "additionalProperties": False})
    names: dict[str, Any] = {"enum": bare}
    return [names, *maps]


_TYPES: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "tuple[float, float]": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "Sequence[int]": {"type": "array", "items": {"type": "integer"}},
}


def _field(field: Any) -> dict[str, Any]:
    """Type and default of a setting, from its annotation."""
    kind, _, null = str(field.type).partition(" | ")
    out = dict(_TYPES.get(kind, {}))
    if out and null:
        out["type"] = [out["type"], "null"]
    if field.default is not dataclasses.MISSING:
        default = field.default
        if dataclasses.is_dataclass(default):
            default = default.name  # type: ignore[union-attr]
        out["default"] = list(default) if isinstance(default, tuple) else default
    return out


_NAMES: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_PLACE: dict[str, Any] = {"as": {"type": "string"}, "from": _NAMES}


class Key(NamedTuple):
    """One key of the reference page."""

    path: str
    must: str
    default: str
    about: str


def keys() -> list[Key]:
    """Every key of every section, in order."""
    out = []
    for path, section in SECTIONS.items():
        info: Any = msgspec.inspect.type_info(section)
        for field in info.fields:
            full = f"{path}.{field.name}" if path else field.name
            if full in SECTIONS and field.default is not None:
                continue  # always present, and described by its own keys
            about, type_ = _about(field.type)
            out.append(Key(full, _words(type_, full), _default(field), about))
    return out


def _about(type_: Any) -> tuple[str, Any]:
    text = ""
    while isinstance(type_, msgspec.inspect.Metadata):
        text = (type_.extra_json_schema or {}).get("description", text)
        type_ = type_.type
    return text, type_


def _default(field: Any) -> str:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return ""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else f"`{value}`" if value != "" else ""


def _words(type_: Any, path: str) -> str:
    """The type of a value, in words."""
    if path in tables() or path == "network.layers":
        return "a list of names or maps" if path == "network.layers" else "a name, or a map with `name`"
    _, type_ = _about(type_)
    i = msgspec.inspect
    if isinstance(type_, i.UnionType):
        parts = [_words(t, path) for t in type_.types]
        comma = "," if len(parts) > 2 or "," in parts[0] else ""
        return f"{', '.join(parts[:-1])}{comma} or {parts[-1]}".replace("true or false or", "true, false or")
    if isinstance(type_, i.LiteralType):
        return ", ".join(f"`{v}`" for v in type_.values)
    if isinstance(type_, i.NoneType):
        return "null"
    if isinstance(type_, i.BoolType):
        return "true or false"
    if isinstance(type_, i.StrType):
        return "one character" if type_.max_length == 1 else "text"
    if isinstance(type_, i.IntType | i.FloatType):
        kind = "a whole number" if isinstance(type_, i.IntType) else "a number"
        limits = [("at least", type_.ge), ("above", type_.gt), ("at most", type_.le), ("below", type_.lt)]
        return ", ".join([kind, *(f"{word} {limit:.10g}" for word, limit in limits if limit is not None)])
    if isinstance(type_, i.ListType):
        inner = _words(type_.item_type, path).removeprefix("a ").replace("whole number", "whole numbers")
        return f"a list of {inner}"
    if isinstance(type_, i.DictType | i.StructType):
        return "a map"
    return "anything"
