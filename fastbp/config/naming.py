"""Names in a configuration, and the objects that they are: layers' settings, initialisers, activations."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from fastbp.config.check import fail, one_of, path_of, show, unknown
from fastbp.config.places import Path_
from fastbp.config.schema import Config
from fastbp.config.text import Text, dotted
from fastbp.errors import ConfigError, escaped, visible
from fastbp.spec.checks import is_formula


def named(
    text: Text, path: Path_, value: Any, table: Mapping[str, Any], formula: Any = None, beside: Sequence[str] = ()
) -> Any:
    """The object for a name, or for a map with `name` and settings.

    `formula` makes an object from a formula; keys `beside` are ignored.
    """
    settings: dict[str, Any] = {}
    if isinstance(value, dict):
        settings = dict(value)
        if "name" not in settings:
            raise fail(text, path, "must be a name, or a map that has `name`")
        name, at = settings.pop("name"), (*path, "name")
    else:
        name, at = value, path
    if not isinstance(name, str):
        must = "must be a name" if at != path else "must be a name, or a map with `name`"
        raise fail(text, at, must, show(name))
    if name not in table and formula is not None and is_formula(name):
        known = [f.name for f in dataclasses.fields(formula) if f.init and f.name != "formula"]
        for key in settings:
            if key not in known:
                raise (
                    unknown(text, path, key, known)
                    if known
                    else fail(text, (*path, key), "must not be given with a formula", show(settings[key]))
                )
        what = "loss" if formula.__name__ == "CustomLoss" else "activation"
        return located(text, path, lambda: formula(name, **settings), what)
    if name not in table:
        raise one_of(text, at, name, table)
    cls = table[name]
    if not isinstance(cls, type):
        cls = type(cls())
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    for key in settings:
        if key not in known:
            near = [*known, *difflib.get_close_matches(key.lower(), beside, cutoff=0.75)]
            raise (
                unknown(text, path, key, near)
                if near
                else fail(text, (*path, key), f"must not be given, as `{name}` has no settings", show(settings[key]))
            )
    needed = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for key in needed:
        if key not in settings:
            raise fail(text, path, f"must have `{key}`, which `{name}` requires")
    for key in ("init", "bias_init", "adapter"):
        if isinstance(settings.get(key), dict):
            settings[key] = _init(text, (*path, key), settings[key])
    make = table[name] if not isinstance(table[name], type) and not settings else cls
    return located(text, path, lambda: make(**settings), cls.__name__)


def _init(text: Text, path: Path_, value: dict[str, Any]) -> Any:
    from fastbp.spec.initial import Init, names_for

    for key in value:
        if key not in ("name", "scale"):
            raise unknown(text, path, key, ("name", "scale"))
    name, scale = value.get("name"), value.get("scale")
    if "name" not in value:
        raise fail(text, path, "must be a name, or a map that has `name`")
    if not isinstance(name, str):
        raise fail(text, (*path, "name"), "must be a name", show(name))
    allowed = names_for({"bias_init": "bias", "last_init": ""}.get(str(path[-1]), "weight"))
    if name not in allowed:
        raise one_of(text, (*path, "name"), name, allowed)
    return Init(name, scale)


def located(text: Text, path: Path_, make: Any, inner: str) -> Any:
    """Call `make`; in its messages `Inner.setting` becomes the path in the file."""
    try:
        return make()
    except ConfigError as error:
        where = error.where or ""
        outer, *rest = path_of(where) or ("",)
        if outer != inner:
            raise error.at(place=text.inside(path)) from None
        whole = (*path, *rest)
        must, got = _as_in_files(error, text, whole)
        moved = dotted(path) + where[len(inner) :]
        raise error.at(where=moved, must=must, got=got, place=text.place(whole)) from None


IN_FILES = {
    "must be True or False": "must be `true` or `false`",
    "must be a dict of column to (categories, width)": "must be a map of column to [categories, width]",
    "must be a list of columns, or None for all": "must be a list of columns, or null for all",
    "must be a dict of column to edges": "must be a map of column to edges",
    "must be (categories, width)": "must be [categories, width]",
    "must be a list of numbers or a dict of class to number": "must be a list of numbers or a map of class to number",
    "must be the name of an initialiser or a `fb.Init`": "must be the name of an initialiser, or a map with `name`",
    "must have a value if it is `constant`": "must have `scale` if it is `constant`",
}


def _as_in_files(error: ConfigError, text: Text, path: Path_) -> tuple[str, str | None]:
    """The words of an error about an argument, as those about a key; and the value as it stands in the file."""
    must, got = IN_FILES.get(error.must, error.must), "`null`" if error.got == "`None`" else error.got
    value: Any = text.data
    for part in path:
        if isinstance(value, dict):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return must, got
    if isinstance(value, dict) and must == "must be a whole number":  # of a key
        return "must have whole numbers for keys", next((f"`{key}`" for key in value if got == f"`{key!r}`"), got)
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if got == f"`{value!r}`" and not numbers:
        return must, show(value)
    return must, f"`{visible(value)}`" if isinstance(value, str) and got == f"`{escaped(value)}`" else got


def activation_of(text: Text, config: Config) -> Any:
    """The activation of `network.activation`."""
    from fastbp.spec.catalogue import ACTIVATIONS
    from fastbp.spec.custom import Custom

    return named(text, ("network", "activation"), config.network.activation, ACTIVATIONS, Custom)


def init_of(text: Text, config: Config, key: str = "init") -> Any:
    """The initialiser of `network.init`, `bias_init` or `last_init`, or None."""
    from fastbp.spec.initial import init_spec

    path, init = ("network", key), getattr(config.network, key)
    if init is None:
        return None
    init = _init(text, path, init) if isinstance(init, dict) else init
    return located(text, path, lambda: init_spec(key, init, INIT_OF[key]), key)


INIT_OF = {"init": "weight", "bias_init": "bias", "last_init": ""}  # the part of a Linear


def linear_of(text: Text, config: Config, last: bool = False) -> dict[str, Any]:
    """Settings of every Linear of `network.hidden`, or of the last one."""
    own = init_of(text, config, "last_init") if last else None
    found = {"init": own or init_of(text, config), "bias_init": own or init_of(text, config, "bias_init")}
    return {**found, "ntk": config.network.ntk}
