"""What a pack is made of: its networks, and the settings of each, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, ConfigTypeError, DataError, FastbpError, ShapeError, brief
from fastbp.model.network import Network
from fastbp.spec.arrays import as_array
from fastbp.spec.checks import seed_of, whole
from fastbp.train.trainer import Trainer


def networks(nets: Any, n: Any, seed: Any) -> list[Network]:
    """The members: those given, or n new ones like one network."""
    if isinstance(nets, Network):
        if n is None:
            raise ConfigError("n", "must be given with one network: the number of members that are made like it")
        count = whole("n", n, 1)
        return [Network.of_graph(nets.graph, one, nets.dtype) for one in seeds_of(seed, count, nets.seed)]
    if not isinstance(nets, list | tuple):
        raise ConfigTypeError("nets", "must be a list of networks, or one network", f"`{brief(nets)}`")
    if n is not None:
        raise ConfigError("n", "must be left out where `nets` is a list")
    if not nets:
        raise ConfigError("nets", "must have at least one network", "none")
    places: dict[int, int] = {}
    for i, net in enumerate(nets):
        if not isinstance(net, Network):
            raise ConfigTypeError(f"nets[{i}]", "must be a fastbp Network", f"`{type(net).__name__}`")
        before = places.setdefault(id(net.lock), i)  # which networks with the same parameters or states share
        if before != i:
            raise ConfigError(f"nets[{i}]", f"must be another network than `nets[{before}]`")
        like(f"nets[{i}]", net, "nets[0]", nets[0])
    return list(nets)


def like(where: str, net: Network, whose: str, first: Network, inputs: bool = True) -> None:
    """Refuse a network with other inputs, outputs or numbers than the first has."""
    for what, own, wanted in (
        ("inputs", [width for _, width in net.graph.parts], [width for _, width in first.graph.parts]),
        ("outputs", list(net.graph.splits), list(first.graph.splits)),
        ("dtype", net.dtype.name, first.dtype.name),
    ):
        if own != wanted and (inputs or what != "inputs"):
            own, wanted = ("+".join(map(str, x)) if isinstance(x, list) else x for x in (own, wanted))
            must = f"must have dtype `{wanted}`" if what == "dtype" else f"must have `{wanted}` {what}"
            raise ConfigError(where, f"{must} as `{whose}` has", f"`{own}`")


def each(where: str, value: Any, count: int) -> list[Any]:
    """A setting of each member: the values of a list, or one for all."""
    if not isinstance(value, list | tuple | np.ndarray):
        return [value] * count
    if len(value) != count:
        raise ConfigError(where, f"must have a value for each of the {count} members", f"`{len(value)}`")
    return [one.item() if isinstance(one, np.generic) else one for one in value]


def seeds_of(seed: Any, count: int, first: int | None = None) -> list[Any]:
    """Seeds of a list, or following ones: from this one, without it from `first`, without both None."""
    if isinstance(seed, list | tuple | np.ndarray):
        return each("seed", seed, count)
    begin = first if seed is None else seed_of(seed)
    return [None if begin is None else (begin + i) % 2**64 for i in range(count)]


def named(where: str, value: Any, count: int) -> list[str]:
    """What messages call a setting of each member."""
    several = isinstance(value, list | tuple | np.ndarray)
    return [f"{where}[{i}]" if several else where for i in range(count)]


def trainers(nets: list[Network], settings: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Trainer]:
    """A trainer on one thread for each network; `settings` are of each, `shared` are of all."""
    count = len(nets)
    values = {name: each(name, value, count) for name, value in settings.items()}
    made = []
    for i, net in enumerate(nets):
        own = {name: value[i] for name, value in values.items()}
        try:
            made.append(Trainer(net, threads=1, **own, **shared))
        except FastbpError as error:
            if error.where is None or error.where not in settings:
                raise
            raise error.at(where=named(error.where, settings[error.where], count)[i]) from None
    return made


def row_lists(rows: Any, count: int, where: str = "rows") -> list[NDArray[np.uint32] | None]:
    """The rows of each member, or None for each."""
    if rows is None:
        return [None] * count
    if not isinstance(rows, list | tuple | np.ndarray):
        raise ConfigTypeError(where, "must be a list of row numbers for each member", f"`{brief(rows)}`")
    if len(rows) != count:
        raise ConfigError(where, f"must have a list for each of the {count} members", f"`{len(rows)}`")
    return [_row_list(f"{where}[{i}]", one) for i, one in enumerate(rows)]


def _row_list(where: str, rows: Any) -> NDArray[np.uint32]:
    array = as_array(where, rows)
    if array.ndim != 1:
        raise ShapeError(where, "must be a list of row numbers", f"shape `{array.shape}`")
    if not array.size:
        raise DataError(where, "must have at least one row", "none")
    if array.dtype.kind not in "iu":
        hint = "numpy.flatnonzero(mask) are the rows of a mask" if array.dtype.kind == "b" else None
        raise ConfigTypeError(where, "must be whole numbers", f"dtype `{array.dtype}`", hint)
    if array.min() < 0 or array.max() >= 2**32:
        wrong = array.min() if array.min() < 0 else array.max()
        raise DataError(where, "must be at least 0 and below 2**32", f"`{wrong}`")
    return np.array(array, np.uint32)  # of its own: they are read in every later call, too


def within(where: str, lists: list[NDArray[np.uint32] | None], rows: int) -> None:
    """Refuse rows that X does not have."""
    for i, one in enumerate(lists):
        if one is not None and one.max() >= rows:
            raise DataError(f"{where}[{i}]", f"must be below {rows}, the rows of X", f"`{one.max()}`")


@contextmanager
def at(where: str) -> Iterator[None]:
    """Say of errors inside what they are about."""
    try:
        yield
    except ConfigError as error:
        raise error.at(where=where) from None


@contextmanager
def fitting(place: str) -> Iterator[None]:
    """Say of errors inside where they come from."""
    try:
        yield
    except (DataError, ConfigError) as error:
        raise error.at(place=place) from None
