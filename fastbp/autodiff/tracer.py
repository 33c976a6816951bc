"""What stands for the arguments while a function is traced: numbers and arrays that note what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.autodiff.gates import spread
from fastbp.autodiff.graph import Graph, broadcast
from fastbp.errors import ConfigError, ConfigTypeError, ShapeError

UFUNCS = {
    **{name: name for name in ("add", "subtract", "multiply", "divide", "power", "exp", "log", "sqrt", "sin", "cos")},
    **{name: name for name in ("tanh", "maximum", "minimum", "sign", "greater", "less", "equal")},
    "negative": "negate", "true_divide": "divide", "absolute": "abs", "square": "square", "matmul": "matmul",
}
BRANCHES = (
    "a traced function is run once, so what it does may not depend on values; use `np.where(x > 0, a, b)` or"
    " `np.maximum(a, b)` in the place of `if`"
)


class Tracer:
    """A node of a graph that behaves as a NumPy array."""

    __array_priority__ = 1000.0

    def __init__(self, graph: Graph, number: int) -> None:
        self.graph, self.number = graph, number

    @property
    def shape(self) -> tuple[int, ...]:
        return self.graph.shape(self.number)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def T(self) -> Tracer:
        return gate("transpose", self)

    def __repr__(self) -> str:
        return f"Tracer({self.graph.nodes[self.number].gate}, shape={self.shape})"

    def __bool__(self) -> bool:
        raise ConfigError(f"`bool` of a traced value must not be asked for: {BRANCHES}")

    def __float__(self) -> float:
        raise ConfigError(f"`float` of a traced value must not be asked for: {BRANCHES}")

    __int__ = __float__  # type: ignore[assignment]
    __index__ = __float__  # type: ignore[assignment]

    def __len__(self) -> int:
        if not self.shape:
            raise ConfigTypeError("a traced number must not be taken for a list, got `len` of it")
        return self.shape[0]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise ConfigError(
            "a traced value must not be made into an array: only NumPy's functions that are gates take it"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        name = UFUNCS.get(ufunc.__name__)
        if method != "__call__" or name is None or settings:
            raise ConfigError(f"`np.{ufunc.__name__}` must be a gate, which it is not; there are {_listed()}")
        if name == "square":
            return inputs[0] * inputs[0]
        if name == "matmul":
            return matmul(*inputs)
        return gate(name, *inputs)

    def __array_function__(self, function: Any, kinds: Any, args: Any, settings: Any) -> Any:
        own = FUNCTIONS.get(function.__name__)
        if own is None:
            raise ConfigError(f"`np.{function.__name__}` must be a gate, which it is not; there are {_listed()}")
        return own(*args, **settings)

    def sum(self, axis: Any = None) -> Tracer:
        return total(self, axis)

    def mean(self, axis: Any = None) -> Tracer:
        return mean(self, axis)

    def dot(self, other: Any) -> Tracer:
        return matmul(self, other)

    def reshape(self, *shape: Any) -> Tracer:
        return reshape(self, shape[0] if len(shape) == 1 else shape)

    def __iter__(self) -> Any:
        raise ConfigTypeError("a traced value must not be iterated over; use whole arrays")


def _operator(name: str, swapped: bool = False) -> Callable[..., Tracer]:
    def method(self: Tracer, other: Any) -> Tracer:
        return gate(name, other, self) if swapped else gate(name, self, other)

    return method


for _symbol, _name in (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("pow", "power"),
):
    setattr(Tracer, f"__{_symbol}__", _operator(_name))
    setattr(Tracer, f"__r{_symbol}__", _operator(_name, swapped=True))
for _symbol, _name in (("gt", "greater"), ("lt", "less")):
    setattr(Tracer, f"__{_symbol}__", _operator(_name))
Tracer.__neg__ = lambda self: gate("negate", self)  # type: ignore[attr-defined]
Tracer.__abs__ = lambda self: gate("abs", self)  # type: ignore[attr-defined]
Tracer.__matmul__ = lambda self, other: matmul(self, other)  # type: ignore[attr-defined]
Tracer.__rmatmul__ = lambda self, other: matmul(other, self)  # type: ignore[attr-defined]


def _listed() -> str:
    from fastbp.autodiff.gates import GATES

    return ", ".join(f"`{name}`" for name in GATES)


def graph_of(*values: Any) -> Graph:
    return next(v.graph for v in values if isinstance(v, Tracer))


def node_of(graph: Graph, value: Any) -> int:
    """The node of a value that is traced or constant."""
    if isinstance(value, Tracer):
        if value.graph is not graph:
            raise ConfigError("traced values must be of one function, got some of two")
        return value.number
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ConfigTypeError(f"a constant in a traced function must be real numbers, got dtype `{array.dtype}`")
    return graph.constant(array)


def gate(name: str, *values: Any) -> Tracer:
    """A gate of traced values and constants, spread to one shape."""
    graph = graph_of(*values)
    numbers = [node_of(graph, v) for v in values]
    if len(numbers) > 1:
        shape = broadcast(name, [graph.shape(n) for n in numbers])
        numbers = [spread(graph, n, shape) for n in numbers]
    return Tracer(graph, graph.gate(name, *numbers))


def total(x: Any, axis: Any = None) -> Tracer:
    """Σ over some axes."""
    graph, shape = x.graph, x.shape
    axes = tuple(range(len(shape))) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes = tuple(sorted(a + len(shape) if a < 0 else a for a in axes))
    if any(not 0 <= a < len(shape) for a in axes):
        raise ShapeError(f"`sum` must be over axes of shape `{shape}`, got `{axis}`")
    return Tracer(graph, graph.gate("sum", x.number, note=axes))


def mean(x: Any, axis: Any = None) -> Tracer:
    """The mean over some axes."""
    summed = total(x, axis)
    result: Tracer = summed / (x.size / max(summed.size, 1))  # type: ignore[operator]
    return result


def reshape(x: Any, shape: Any, **_: Any) -> Tracer:
    """The same numbers in another shape; one length may be -1."""
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if -1 in wanted:
        known = int(np.prod([s for s in wanted if s != -1]))
        wanted = tuple(x.size // max(known, 1) if s == -1 else s for s in wanted)
    return Tracer(x.graph, x.graph.gate("reshape", x.number, note=wanted))


def matmul(x: Any, y: Any) -> Tracer:
    """x y, with NumPy's rules for vectors."""
    graph = graph_of(x, y)
    a, b = Tracer(graph, node_of(graph, x)), Tracer(graph, node_of(graph, y))
    if a.ndim not in (1, 2) or b.ndim not in (1, 2):
        raise ShapeError(f"`matmul` must have vectors or matrices, got `{a.shape}` and `{b.shape}`")
    left = reshape(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    product = Tracer(graph, graph.gate("matmul", left.number, right.number))
    shape = (*((a.shape[0],) if a.ndim == 2 else ()), *((b.shape[1],) if b.ndim == 2 else ()))
    return product if product.shape == shape else reshape(product, shape)


def where(condition: Any, x: Any, y: Any) -> Tracer:
    """x where the condition holds, otherwise y."""
    return gate("where", condition, x, y)


FUNCTIONS: dict[str, Callable[..., Tracer]] = {
    "sum": lambda x, axis=None: total(x, axis),
    "mean": lambda x, axis=None: mean(x, axis),
    "dot": matmul,
    "where": where,
    "reshape": reshape,
    "transpose": lambda x: gate("transpose", x),
}
