"""Several configurations as one: files over files, and above them what `--set` says.

Files are laid over each other from left to right, so the order of files counts. What `--set` says is one configuration
of which each setting is given once, so the order of `--set` does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

from fastbp.config.check import show
from fastbp.config.places import Path_
from fastbp.config.schema import Schedules
from fastbp.config.space import SPACE, SWEEP, flattened
from fastbp.config.text import Text, dotted, parse_yaml
from fastbp.errors import ConfigError, escaped

# Keys that take a name, or a map with `name` and settings.
NAMED = (
    ("network", "activation"),
    ("network", "embed_numbers"),
    *(("network", key) for key in ("init", "bias_init", "last_init")),
    ("trainer", "loss"),
    ("trainer", "optimizer"),
    ("trainer", "schedule"),
    *(("trainer", "schedules", key) for key in Schedules.__struct_fields__),
)


def merge(below: Text, above: Text) -> Text:
    """Merge one configuration over another: maps key by key, everything else is replaced.

    A map with another `name`, such as ``optimizer: {name: ...}``, replaces the map below; one without a name is merged
    into it. Where a name may have settings, it is a map with that name. What a key of `pack.space` or `sweep.space` is
    drawn from is replaced.
    """
    below, above = flattened(below), flattened(above)
    places = dict(below.places)

    def lay(under: Any, over: Any, path: Path_) -> Any:
        if path in NAMED and (isinstance(under, dict) or isinstance(over, dict)):
            under, over = as_map(under), as_map(over)
        if isinstance(under, dict) and isinstance(over, dict) and not (path[:2] in (SPACE, SWEEP) and len(path) > 2):
            if "name" in over and path and over["name"] != under.get("name") and "name" in under:
                forget(path)
                return over
            out = dict(under)
            for key, value in over.items():
                out[key] = lay(under[key], value, (*path, key)) if key in under else value
            return out
        forget(path)
        return over

    def forget(path: Path_) -> None:
        for known in [p for p in places if p[: len(path)] == path]:
            del places[known]

    data = lay(below.data, above.data, ())
    places.update(above.places)
    return Text(data, places)


def as_map(value: Any) -> Any:
    """A name as a map with that name; anything else unchanged."""
    return {"name": value} if isinstance(value, str) else value


def overrides(expressions: Iterable[str]) -> Text:
    """The configuration of several ``--set``, in any order.

    Examples
    --------
    >>> overrides(["trainer.optimizer.lr=0.1", "trainer.optimizer=sgd"]).data
    {'trainer': {'optimizer': {'lr': 0.1, 'name': 'sgd'}}}
    >>> overrides(["seed=1", "seed=2"])
    Traceback (most recent call last):
    fastbp.errors.ConfigError: `--set` must give `seed` once, got `1` and `2`
    """
    return reduce(_beside, map(override, expressions), Text())


def _beside(one: Text, other: Text) -> Text:
    """Both, of which no setting is lost."""

    def join(a: Any, b: Any, path: Path_) -> Any:
        if path in NAMED and isinstance(a, dict) != isinstance(b, dict):
            a, b = as_map(a), as_map(b)
        if not (isinstance(a, dict) and isinstance(b, dict)):
            raise ConfigError("--set", f"must give `{dotted(path)}` once", f"{show(a)} and {show(b)}")
        out = dict(a)
        for key, value in b.items():
            out[key] = join(a[key], value, (*path, key)) if key in a else value
        return out

    return Text(join(one.data, other.data, ()), {**one.places, **other.places})


def override(expression: str) -> Text:
    """The configuration of ``--set a.b=value``; the value is read as YAML.

    Examples
    --------
    >>> override("trainer.epochs=5").data
    {'trainer': {'epochs': 5}}
    """
    where = f"--set {escaped(expression)}"
    path, sign, content = expression.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise ConfigError("--set", "must be a path and a value, such as `trainer.epochs=5`", f"`{expression}`")
    option = f"--set {path}"
    data = parse_yaml(f"value: {content}" if content.strip() else "value: ''", where, option).data
    if len(data) > 1:
        raise ConfigError(option, "must be one value on one line")
    out: Any = data["value"]
    for key in reversed(keys):
        out = {key: out}
    return Text(out, dict.fromkeys(paths(out), (where, 0)))


def paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of each part of a value, and of the value itself unless that is the whole."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from paths(child, (*path, key))
