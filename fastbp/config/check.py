"""From text to a checked `Config`; messages give the place, the requirement and the value."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from fastbp.config.places import Path_
from fastbp.config.schema import SECTIONS, Config
from fastbp.config.text import Text, dotted, scalar
from fastbp.errors import ConfigError, not_one_of, visible
from fastbp.spec.elsewhere import SWEEP_WORDS, WORDS, hint_of_name
from fastbp.spec.elsewhere import hint as hint_of_key

_KINDS = {
    "int": ["a whole number"],
    "float": ["a number"],
    "str": ["a string"],
    "bool": ["`true`", "`false`"],
    "array": ["a list"],
    "object": ["a map of keys to values"],
    "null": ["`null`"],
}
_WHERE = re.compile(r"(.*) - at `\$?\.?(.*?)`", re.DOTALL)
_OFTEN = {"lr": "lr", "learning_rate": "lr", "momentum": "momentum", "betas": "betas", "weight_decay": "weight_decay"}


def checked(text: Text) -> Config:
    """The configuration in a text.

    Raises
    ------
    ConfigError
        One sentence with file, line, path, requirement and value.
    """
    _sound(text)
    _rename(text)
    _known(text)
    try:
        return msgspec.convert(text.data, Config)
    except msgspec.ValidationError as error:
        raise _explained(str(error), text) from None


def fail(text: Text, path: Path_, must: str, got: str | None = None, hint: str | None = None) -> ConfigError:
    """The error for the value at a path."""
    return ConfigError(dotted(path), must, got, hint, text.place(path))


def show(value: Any) -> str:
    """A value in a message."""
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | dict):
        return f"{'a' if value else 'an empty'} {'list' if isinstance(value, list) else 'map'}"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str) and scalar(value) != value:
        return f"the string `{visible(value)}`" if value else "an empty string"
    return f"`{visible(str(value))}`"


def one_of(text: Text, path: Path_, value: Any, names: Iterable[str]) -> ConfigError:
    """The error for an unknown name, with the nearest known one."""
    if said := hint_of_name(value, names):
        return fail(text, path, must_be(names), show(value)).at(hint=said)
    if isinstance(value, str):
        return not_one_of(dotted(path), visible(value), names).at(place=text.place(path))
    return fail(text, path, must_be(names), show(value))


def must_be(names: Iterable[str]) -> str:
    """The requirement to be one of some names."""
    return f"must be one of {', '.join(f'`{n}`' for n in names)}"


def unknown(text: Text, path: Path_, key: str, known: Any) -> ConfigError:
    """The error for an unknown key, with the nearest known one, here or in another section."""
    names = sorted(known)
    must = f"{'' if path else 'a config '}must have known keys only"
    said = hint_of_key(key, config=True, words=SWEEP_WORDS if path == ("sweep",) else WORDS)
    if (
        said
        and f"`{dotted((*path, key))}`" not in said
        and not difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.9)
    ):
        return ConfigError(dotted(path) or None, must, show(key), said, text.place((*path, key)))
    close = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.6)
    elsewhere = [f"{s}.{key}".lstrip(".") for s, cls in SECTIONS.items() if key in cls.__struct_fields__]
    if dotted(path) == "trainer" and key in _OFTEN:
        elsewhere = [f"trainer.optimizer.{_OFTEN[key]}"]
    if close and close[0] == key.lower():
        hint = f"did you mean `{close[0]}`?"
    elif elsewhere and dotted(path) in SECTIONS:
        hint = f"did you mean `{elsewhere[0]}`?"
    else:
        there = f"there {'are' if len(names) > 1 else 'is'} {', '.join(f'`{n}`' for n in names)}"
        hint = f"did you mean `{close[0]}`?" if close else there
    return ConfigError(dotted(path) or None, must, show(key), hint, text.place((*path, key)))


def _sound(text: Text) -> None:
    """Refuse numbers that are huge or not finite, and text that no file can hold, at any depth."""

    def walk(value: Any, path: Path_) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise fail(text, path, "must be finite", f"`{value}`")
        if isinstance(value, int) and abs(value) >= 2**64:
            raise fail(text, path, f"must be {'below 2**64' if value > 0 else 'above -2**64'}", show(value))
        if isinstance(value, str) and not _is_unicode(value):
            raise fail(text, path, "must be Unicode", "half of a surrogate pair")
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for part, child in items:
            if isinstance(part, str) and not _is_unicode(part):
                raise fail(text, path, "must have keys in Unicode", "half of a surrogate pair")
            walk(child, (*path, part))

    walk(text.data, ())


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def path_of(where: str) -> Path_:
    """The path that a message shows, as a tuple.

    Examples
    --------
    >>> path_of("network.layers[1].p")
    ('network', 'layers', 1, 'p')
    """
    parts: list[str | int] = []
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", where):
        parts.append(name or (int(index) if index != "..." else "..."))
    return tuple(parts)


def _at(data: Any, path: Path_) -> Any:
    for part in path:
        data = data[part]
    return data


def _rename(text: Text) -> None:
    """Call `rare`, as configurations in the folders of older runs have it, as it is called now."""
    data = text.data.get("data")
    columns = data.get("columns") if isinstance(data, dict) else None
    each = columns.items() if isinstance(columns, dict) else ()
    for path, settings in ((("data",), data), *((("data", "columns", name), own) for name, own in each)):
        if isinstance(settings, dict) and "rare" in settings and "min_frequency" not in settings:
            settings["min_frequency"] = settings.pop("rare")
            if (*path, "rare") in text.places:
                text.places[(*path, "min_frequency")] = text.places.pop((*path, "rare"))


def _known(text: Text) -> None:
    """Refuse unknown keys."""
    for name, section in SECTIONS.items():
        path = path_of(name)
        try:
            keys = _at(text.data, path)
        except (KeyError, TypeError, IndexError):
            continue
        for key in keys if isinstance(keys, dict) else ():
            if key not in section.__struct_fields__:
                raise unknown(text, path, key, section.__struct_fields__)


def _explained(message: str, text: Text) -> ConfigError:
    """Our sentence for an error of msgspec."""
    found = _WHERE.fullmatch(message)
    what, path = (found[1], path_of(found[2])) if found else (message, ())
    if "..." in path:  # a value of a map, whose key msgspec does not name
        path = path[: path.index("...")]
        section, name = SECTIONS[dotted(path[:-1])], str(path[-1])
        key = next(k for k, v in _at(text.data, path).items() if not _is_taken(section, name, {k: v}))
        path, names, map_ = (*path, key), [] if "float" in what else choices(section, name), None
    else:
        found_in = SECTIONS.get(dotted(path[:-1]))
        names = choices(found_in, str(path[-1])) if found_in is not None else []
        map_ = _example(found_in, str(path[-1])) if found_in is not None else None
    value = _at(text.data, path)
    if names and map_ is not None:
        known = must_be(names) if len(names) > 1 else f"must be `{names[0]}`"
        close = difflib.get_close_matches(str(value).lower(), names, n=1)
        hint = f"did you mean `{close[0]}`?" if close else None
        return fail(text, path, f"{known} or a map such as `{map_}`", show(value), hint)
    if names:
        return one_of(text, path, value, names)
    return fail(text, path, f"must {_requirement(what)}", show(value))


def _is_taken(section: type, name: str, value: Any) -> bool:
    """Whether a key may have a value."""
    try:
        msgspec.convert({name: value}, section)
    except msgspec.ValidationError:
        return False
    return True


def _example(section: type, name: str) -> str | None:
    """A map that a key takes, as it is written."""
    info: Any = msgspec.inspect.type_info(section)
    type_ = next(f.type for f in info.fields if f.name == name)
    said = getattr(type_, "extra_json_schema", None) or {}
    maps = [", ".join(f"{key}: {value}" for key, value in one.items()) for one in said.get("examples", ())]
    return f"{{{maps[0]}}}" if maps else None


def _requirement(what: str) -> str:
    """What msgspec expected, in words."""
    limit = re.fullmatch(r"Expected `(int|float)` (>=|<=|>|<) (\S+)", what)
    if limit:
        words = {">=": "at least", "<=": "at most", ">": "above", "<": "below"}[limit[2]]
        return f"be {words} {float(limit[3]):.10g}"
    if what.startswith("Expected `str` of length"):
        return "be one character"
    if "matching regex" in what:
        return "be at most 64 letters, digits, `.`, `_` and `-`, the first a letter or a digit"
    kinds = re.match(r"Expected `([^`]*)`", what)
    assert kinds, what
    listed = [word for kind, words in _KINDS.items() if kind in kinds[1].split(" | ") for word in words]
    return f"be {', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else f"be {listed[0]}"


def choices(section: type, name: str) -> list[str]:
    """The names that a key may have."""
    info = msgspec.inspect.type_info(section)
    assert isinstance(info, msgspec.inspect.StructType)
    type_ = next(f.type for f in info.fields if f.name == name)
    parts = type_.types if isinstance(type_, msgspec.inspect.UnionType) else (type_,)
    out: list[str] = []
    for part in parts:
        while isinstance(part, msgspec.inspect.Metadata):
            part = part.type
        kinds = part.types if isinstance(part, msgspec.inspect.UnionType) else (part,)
        for kind in kinds:
            if isinstance(kind, msgspec.inspect.LiteralType):
                out += [str(v) for v in kind.values]
    return out
