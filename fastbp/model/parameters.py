"""The parameters of a network, as natural (in, out) arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.blocks import Block, slots_of
from fastbp.engine.forks import lock
from fastbp.errors import ConfigError, DataError, DataTypeError, ShapeError
from fastbp.spec.arrays import read
from fastbp.spec.graph import Graph
from fastbp.spec.initial import OF_ROWS, draw, tensor_of


class Parameters(MutableMapping[str, NDArray[Any]]):
    """The parameters of a network by name, as natural arrays.

    Reading gives a copy; assignment writes into the network. Names cannot be added or deleted.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: np.dtype[Any], where: str = "parameters") -> None:
        self.where = where
        self.block = Block(slots_of(shapes, dtype), dtype)
        self.version = 0  # number of writes from Python, which make transposed copies and bounds stale
        self.averages: Parameters | None = None  # the parameters of which these are a running average, for their bounds
        self.lock = lock("this network")  # the network's lock
        self.waiting: set[str] = set()  # those that rows of data are to complete

    def __getitem__(self, name: str) -> NDArray[Any]:
        self._known(name)
        with self.lock:
            return self.block.read(name)

    def __setitem__(self, name: str, values: Any) -> None:
        self._known(name)
        slot = self.block.slots[name]
        array = checked(f"{self.where}[{name!r}]", values, slot.shape, self.block.dtype)
        _no_less_than_0(self.where, name, array)
        with self.changing():
            self.block.write(name, array)
            self.waiting.discard(name)

    def put(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write several at once, or none."""
        slots = self.block.slots
        found = {
            name: checked(f"{self.where}[{name!r}]", a, slots[name].shape, self.block.dtype)
            for name, a in arrays.items()
        }
        with self.changing():
            for name, array in found.items():
                self.block.write(name, array)
            self.waiting -= set(found)

    def __reduce__(self) -> Any:
        shapes = {name: slot.shape for name, slot in self.block.slots.items()}
        return _rebuild, (shapes, self.block.dtype.name, self.where, self.flat())

    def __delitem__(self, name: str) -> None:
        raise ConfigError(f"`{self.where}[{name!r}]` cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self.block.slots)

    def __len__(self) -> int:
        return len(self.block.slots)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name!r}: {slot.shape}" for name, slot in self.block.slots.items())
        return f"{self.where.capitalize()}({{{inside}}})"

    def _known(self, name: str) -> None:
        if name not in self.block.slots:
            names = ", ".join(f"`{known}`" for known in self.block.slots)
            raise KeyError(f"`{self.where}` has no `{name}`, {f'only {names}' if names else 'and no other'}")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock to write to the block; after a fork meanwhile the child cannot use this network."""
        with self.lock:
            self.version += 1  # first, so that an interrupted write leaves no stale copy unnoticed
            if self.averages is not None:
                self.averages.version += 1
            self.lock.writes = True
            try:
                yield
            finally:
                self.lock.writes = False

    @property
    def count(self) -> int:
        """The number of elements."""
        return sum(slot.size for slot in self.block.slots.values())

    def flat(self, block: Block | None = None) -> NDArray[Any]:
        """All numbers as one vector, parameter after parameter, each row by row."""
        source = block or self.block
        with self.lock:
            parts = [source.read(name).ravel() for name in source.slots]
        return np.concatenate(parts) if parts else np.empty(0, self.block.dtype)

    def set_flat(self, vector: Any) -> None:
        """Write all numbers from one vector."""
        array = checked("flat", vector, (self.count,), self.block.dtype)
        parts, at = {}, 0
        for name, slot in self.block.slots.items():
            parts[name], at = array[at : at + slot.size], at + slot.size
            _no_less_than_0(self.where, name, parts[name])
        with self.changing():
            for name, part in parts.items():
                self.block.write(name, part)
            self.waiting.clear()


def _rebuild(shapes: dict[str, tuple[int, ...]], dtype: str, where: str, flat: NDArray[Any]) -> Parameters:
    made = Parameters(shapes, np.dtype(dtype), where)
    made.set_flat(flat)
    return made


def _no_less_than_0(where: str, name: str, array: NDArray[Any]) -> None:
    """Refuse negative variances."""
    if name.endswith("running_var") and (array < 0.0).any():
        raise DataError(f"{where}[{name!r}]", "must be at least 0", f"`{array.min()}`")


def checked(where: str, values: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of this shape that are finite in this dtype."""
    array = read(where, values)
    if array.shape != shape:
        raise ShapeError(where, f"must have shape `{shape}`", f"`{array.shape}`")
    if array.dtype.kind not in "fiub":
        raise DataTypeError(where, "must be real numbers", f"dtype `{array.dtype}`")
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    if not np.isfinite(array).all():
        raise DataError(where, "must be finite", "NaN or infinity")
    return array


def initialise(graph: Graph, parameters: Parameters, seed: int) -> None:
    """Draw every parameter: part number i of node n is tensor 2 n + i."""
    for node in graph.nodes:
        if node.shares:
            continue
        for i, (part, (init, _, fan_in, fan_out)) in enumerate(node.layer.draws(node.inputs).items()):
            name = node.parameter(part)
            if name in parameters:
                whole = parameters.block.slots[name].shape
                tensor = tensor_of(node.index, i)
                parameters[name] = node.layer.drawn(
                    part, whole, partial(draw, init, fan_in=fan_in, fan_out=fan_out, seed=seed, tensor=tensor)
                )
                if init.name in OF_ROWS.values():
                    parameters.waiting.add(name)
