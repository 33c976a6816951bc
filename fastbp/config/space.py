"""The search space of a pack: what each key is drawn from, checked, and drawn.

trainer.batch_size: [16, 32, 64]                      or {choice: [16, 32, 64]}
trainer.optimizer.lr: {log: [1e-4, 1e-2]}
network.dropout: {uniform: [0, 0.5]}                  or [0, {uniform: [0, 0.5]}]
network.hidden: {width: [32, 64], depth: {int: [1, 3]}}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastbp.config.check import fail, path_of, show
from fastbp.config.places import Path_
from fastbp.config.schema import SECTIONS
from fastbp.config.text import Text, dotted
from fastbp.errors import ConfigError
from fastbp.numerics.draws import below, between, log_between, word

SPACE: Path_ = ("pack", "space")
SWEEP: Path_ = ("sweep", "space")
BOUNDED = ("log", "uniform", "int", "log_int")
WHOLE = ("int", "log_int")
KINDS = ("choice", *BOUNDED, "width", "depth")
DEEPEST = 100  # layers that a draw makes, at most
MEANS = "must be a list, or a map with `choice`, `log`, `uniform`, `int` or `log_int`, or with `width` and `depth`"
ELSEWHERE = {  # words of other libraries
    **dict.fromkeys(("values", "categorical"), "`choice`"),
    **dict.fromkeys(("loguniform", "log_uniform", "log_uniform_values"), "`log`"),
    **dict.fromkeys(("float", "uniform_values"), "`uniform`"),
    **dict.fromkeys(("randint", "integer", "quniform", "int_uniform"), "`int`"),
    **dict.fromkeys(("lograndint", "int_log", "qloguniform"), "`log_int`"),
    **dict.fromkeys(("min", "max", "low", "high"), "`log`, `uniform`, `int` or `log_int`, as in `{log: [low, high]}`"),
}
SHARED = ("loss", "class_weight", "calibrate", "metrics", "monitor", "mode", "threads", "time_limit")  # of `trainer`


@dataclass(frozen=True)
class Drawn:
    """A key of the space: its path in a configuration, and what it is drawn from."""

    name: str
    path: Path_
    among: Any

    def value(self, seed: int, member: int) -> Any:
        """The value of a member."""
        return _draw(self.among, seed, member, self.name)


def flattened(text: Text) -> Text:
    """The same configuration, in which spaces have dotted keys only, as `--set` and TOML write them in maps."""
    return _flattened(_flattened(text, SPACE), SWEEP)


def _flattened(text: Text, root: Path_) -> Text:
    section = str(root[0])
    pack = text.data.get(section) if isinstance(text.data, dict) else None
    space = pack.get("space") if isinstance(pack, dict) else None
    if not isinstance(space, dict) or not any(_is_nested(name, value) for name, value in space.items()):
        return text
    found: dict[str, Any] = {}
    places = dict(text.places)

    def lay(name: str, value: Any, path: Path_) -> None:
        if _is_inner(value) and ("." not in name or len(path) > len(root) + 1):
            for key, inner in value.items():
                lay(f"{name}.{key}", inner, (*path, key))
            return
        found[name] = value
        for known in [one for one in places if one[: len(path)] == path]:
            places[(*root, name, *known[len(path) :])] = places[known]

    for name, value in space.items():
        if "." in name:
            found[name] = value
        else:
            lay(name, value, (*root, name))
    return Text({**text.data, section: {**(pack or {}), "space": found}}, places)


def _is_inner(value: Any) -> bool:
    """Whether a value is a map of further keys."""
    return isinstance(value, dict) and bool(value) and not any(key in KINDS for key in value)


def _is_nested(name: str, value: Any) -> bool:
    return "." not in name and _is_inner(value)


def space_of(text: Text, space: dict[str, Any]) -> list[Drawn]:
    """The keys of a space, shorter paths first; refuses those that members must share."""
    found = []
    for name, among in space.items():
        path = path_of(name)
        _check_key(text, name, path)
        check_drawn(text, (*SPACE, name), among)
        found.append(Drawn(name, path, among))
    return sorted(found, key=lambda one: len(one.path))


def _check_key(text: Text, name: str, path: Path_) -> None:
    here = (*SPACE, name)
    section = str(path[0]) if path else ""
    if section not in ("network", "trainer"):
        if section and (section in SECTIONS or section in SECTIONS[""].__struct_fields__):
            why = "must not differ by member, as only keys of `network` and `trainer` may"
            raise fail(text, here, why)
        close = difflib.get_close_matches(section, ("network", "trainer"), n=1)
        hint = f"did you mean `{'.'.join([close[0], *map(str, path[1:])])}`?" if close else None
        raise fail(text, SPACE, "must have keys of `network` or `trainer`", show(name), hint)
    fields = SECTIONS[section].__struct_fields__
    if len(path) < 2 or path[1] not in fields:
        close = difflib.get_close_matches(str(path[1]), fields, n=1) if len(path) > 1 else []
        hint = f"did you mean `{section}.{close[0]}`?" if close else None
        raise fail(text, SPACE, f"must have keys of `{section}`", show(name), hint)
    if section == "trainer" and path[1] in SHARED:
        raise fail(text, here, "must not differ by member, as all are trained and compared in one way")


def check_drawn(text: Text, path: Path_, among: Any) -> None:
    """Refuse what nothing can be drawn from."""
    if isinstance(among, list):
        if not among:
            raise fail(text, path, "must have at least one value", "an empty list")
        for i, value in enumerate(among):
            if is_drawn(value):
                check_drawn(text, (*path, i), value)
        return
    if not isinstance(among, dict):
        raise fail(text, path, MEANS, show(among))
    keys = set(among)
    if keys == {"width", "depth"}:
        for key, part in among.items():
            if isinstance(part, list | dict):
                check_drawn(text, (*path, key), part)
        return
    if len(keys) != 1 or not keys < {"choice", *BOUNDED}:
        listed = " and ".join(f"`{key}`" for key in among)
        ours = next((ELSEWHERE[key] for key in among if key in ELSEWHERE), None)
        hint = None if ours is None else f"here this is {ours}"
        raise fail(text, path, MEANS, f"a map with {listed}" if among else show(among), hint)
    (kind,) = keys
    inner = (*path, kind)
    if kind == "choice":
        if not isinstance(among[kind], list):
            raise fail(text, inner, "must be a list of values", show(among[kind]))
        check_drawn(text, inner, among[kind])
        return
    bounds = among[kind]
    what = "whole numbers" if kind in WHOLE else "numbers"
    wanted = int if kind in WHOLE else int | float
    if not (
        isinstance(bounds, list)
        and len(bounds) == 2
        and all(isinstance(bound, wanted) and not isinstance(bound, bool) for bound in bounds)
    ):
        raise fail(text, inner, f"must be two {what}, the lower first", show(bounds))
    low, high = bounds
    if kind in ("log", "log_int") and low <= 0:
        raise fail(text, (*inner, 0), "must be above 0", show(low))
    if low > high:
        raise fail(text, inner, "must have the lower number first", f"`[{low}, {high}]`")


def is_drawn(value: Any) -> bool:
    """Whether a value of a list is drawn itself."""
    return isinstance(value, dict) and len(value) == 1 and not {*BOUNDED}.isdisjoint(value)


def _draw(among: Any, seed: int, member: int, name: str) -> Any:
    if isinstance(among, list):
        i = below(word(seed, member, name), len(among))
        return _draw(among[i], seed, member, f"{name}[{i}]") if is_drawn(among[i]) else among[i]
    if "width" in among:
        width, depth = (
            _draw(part, seed, member, f"{name}.{key}") if isinstance(part, list | dict) else part
            for key, part in ((key, among[key]) for key in ("width", "depth"))
        )
        whole = isinstance(depth, int) and not isinstance(depth, bool)
        if not (whole and 0 <= depth <= DEEPEST):
            raise ConfigError(name, f"must have a whole `depth` from 0 to {DEEPEST}", show(depth))
        return [width] * depth
    ((kind, values),) = among.items()
    bits = word(seed, member, name)
    if kind == "choice":
        return _draw(values, seed, member, name)
    low, high = values
    if kind == "int":
        return low + below(bits, high - low + 1)
    if kind == "log_int":
        return min(max(round(log_between(bits, low - 0.5, high + 0.5)), low), high)
    return (log_between if kind == "log" else between)(bits, float(low), float(high))


def said(among: Any) -> str:
    """What a key is drawn from, in words.

    Examples
    --------
    >>> said({"uniform": [0, 0.5]}), said([16, 32])
    ('uniform between 0 and 0.5', 'one of 16, 32')
    >>> said([0, {"uniform": [0, 0.5]}])
    'one of 0, uniform between 0 and 0.5'
    """
    if isinstance(among, list):
        return f"one of {', '.join(said(value) if is_drawn(value) else brief_value(value) for value in among)}"
    if "width" in among:
        parts = {key: said(one) if isinstance(one, list | dict) else brief_value(one) for key, one in among.items()}
        return f"width {parts['width']}; depth {parts['depth']}"
    ((kind, values),) = among.items()
    if kind == "choice":
        return said(values)
    low, high = (f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    words = {"log": "log-uniform between {} and {}", "uniform": "uniform between {} and {}"}
    words |= {"int": "a whole number from {} to {}", "log_int": "a whole number from {} to {}, log-uniform"}
    return words[kind].format(low, high)


def short_names(names: Iterable[str]) -> dict[str, str]:
    """The last part of each key, or all of it where another ends in the same way.

    Examples
    --------
    >>> list(short_names(["trainer.optimizer.lr", "trainer.reduce_lr.patience", "early.patience"]).values())
    ['lr', 'trainer.reduce_lr.patience', 'early.patience']
    """
    last = {name: name.rpartition(".")[2] for name in names}
    ends = list(last.values())
    return {name: end if ends.count(end) == 1 else name for name, end in last.items()}


def brief_value(value: Any) -> str:
    """A drawn value in few characters.

    Examples
    --------
    >>> brief_value(0.0012345678), brief_value([64, 32]), brief_value({"name": "sgd", "lr": 0.1}), brief_value(None)
    ('0.001235', '64-32', 'sgd lr 0.1', 'null')
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "-".join(map(brief_value, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key} {brief_value(one)}".removeprefix("name ") for key, one in value.items())
    return str(value)


def put(text: Text, data: Any, drawn: Drawn, value: Any, root: Path_ = SPACE) -> None:
    """Set a key of a configuration's data; a name becomes a map where its settings are drawn."""
    from fastbp.config.merging import NAMED, as_map

    at, path = data, drawn.path
    for i, (part, following) in enumerate(pairwise(path)):
        inner = at[part] if isinstance(at, list) and isinstance(part, int) and part < len(at) else None
        inner = at.get(part) if isinstance(at, dict) else inner
        if path[: i + 1] in NAMED or (path[:2] == ("network", "layers") and i == 2):
            inner = as_map(inner if inner is not None else _default(path[: i + 1]))
        if inner is None and isinstance(at, dict) and isinstance(following, str):
            inner = {}
        if not isinstance(inner, list if isinstance(following, int) else dict):
            what = "a list" if isinstance(following, int) else "a map"
            here = dotted(path[: i + 1])
            is_place = isinstance(inner, list) and isinstance(following, str) and following.isdigit()
            hint = f"a value of a list is `{here}[{following}]`" if is_place else None
            must = f"must be in {what}, but `{here}` of the configuration is none"
            raise fail(text, (*root, drawn.name), must, hint=hint)
        at[part] = inner
        at = inner
    last = path[-1]
    if isinstance(at, list) and not (isinstance(last, int) and last < len(at)):
        raise fail(text, (*root, drawn.name), f"must be one of the {len(at)} of `{dotted(path[:-1])}`")
    at[last] = value


def _default(path: Path_) -> Any:
    import msgspec

    section = SECTIONS[str(path[0])]
    return getattr(msgspec.convert({}, section), str(path[1]))
