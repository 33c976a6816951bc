"""Tracers: placeholders for arguments that record the operations on them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, Shape, broadcast
from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief

ONCE = "a traced function is run once, so what it does may not depend on values"
BRANCHES = "use `np.where(x > 0, a, b)` or `np.maximum(a, b)` instead of `if`"
NUMBERS = "use `np.sin(x)` instead of `math.sin(x)`, and `np.stack` instead of `out[0] = x`"
OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
}
COMPARISONS = {
    "gt": "greater",
    "lt": "less",
    "ge": "greater_equal",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
}
LOGIC = {"and": ("&", "logical_and"), "or": ("|", "logical_or"), "xor": ("^", "logical_xor")}
SIGNS = {"floordiv": "//", "mod": "%", "lshift": "<<", "rshift": ">>"}


class Tracer:
    """A node of a graph that behaves as a NumPy array."""

    __array_priority__ = 1000.0
    __hash__ = object.__hash__

    def __init__(self, graph: Graph, number: int) -> None:
        self.graph, self.number = graph, number

    @property
    def shape(self) -> Shape:
        return self.graph.shape(self.number)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.graph.dtype

    @property
    def T(self) -> Tracer:
        return Tracer(self.graph, self.graph.gate("transpose", self.number))

    def __repr__(self) -> str:
        return f"Tracer({self.graph.nodes[self.number].gate}, shape={self.shape})"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a traced value has no attribute `{name}`")

    # Operations that would need a value.

    def _refuse(self, what: str, hint: str = BRANCHES) -> NoReturn:
        raise ConfigError(f"`{what}` of a traced value is not known: {ONCE}", hint=hint)

    def __bool__(self) -> bool:
        self._refuse("bool")

    def __float__(self) -> float:
        self._refuse("float", NUMBERS)

    def __int__(self) -> int:
        self._refuse("int")

    def __index__(self) -> int:
        self._refuse("int")

    def __round__(self, digits: Any = None) -> NoReturn:
        self._refuse("round", NUMBERS)

    def __complex__(self) -> complex:
        self._refuse("complex")

    def __len__(self) -> int:
        if not self.shape:
            raise ConfigTypeError("a traced number has no `len`")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tracer]:
        if not self.shape:
            raise ConfigTypeError("a traced number must not be iterated over")
        return (self[i] for i in range(self.shape[0]))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise ConfigTypeError(
            "a traced value must not be assigned to in place; use `np.where`, `np.stack` or `np.concatenate`"
        )

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise ConfigError(
            "a traced value must not be made into an array: NumPy's functions take it as it is",
            hint="use `np.stack([a, b])` instead of `np.array([a, b])` or a list of traced values",
        )

    # NumPy's functions.

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        from fastbp.autodiff import numpy_names

        return numpy_names.ufunc(ufunc, method, inputs, settings)

    def __array_function__(self, function: Any, kinds: Any, args: Any, settings: Any) -> Any:
        from fastbp.autodiff import numpy_names

        return numpy_names.array_function(function, args, settings)

    # Methods and operators that arrays have.

    def _method(self, name: str, args: Any, settings: Any) -> Any:
        from fastbp.autodiff import numpy_names

        return numpy_names.method(name, self, args, settings)

    def sum(self, *args: Any, **settings: Any) -> Any:
        return self._method("sum", args, settings)

    def mean(self, *args: Any, **settings: Any) -> Any:
        return self._method("mean", args, settings)

    def var(self, *args: Any, **settings: Any) -> Any:
        return self._method("var", args, settings)

    def std(self, *args: Any, **settings: Any) -> Any:
        return self._method("std", args, settings)

    def max(self, *args: Any, **settings: Any) -> Any:
        return self._method("max", args, settings)

    def min(self, *args: Any, **settings: Any) -> Any:
        return self._method("min", args, settings)

    def clip(self, *args: Any, **settings: Any) -> Any:
        return self._method("clip", args, settings)

    def trace(self, *args: Any, **settings: Any) -> Any:
        return self._method("trace", args, settings)

    def squeeze(self, *args: Any, **settings: Any) -> Any:
        return self._method("squeeze", args, settings)

    def dot(self, *args: Any, **settings: Any) -> Any:
        return self._method("dot", args, settings)

    def reshape(self, *shape: Any, **settings: Any) -> Any:
        return self._method("reshape", (shape[0] if len(shape) == 1 else shape,), settings)

    def ravel(self, *args: Any, **settings: Any) -> Any:
        return self._method("ravel", args, settings)

    flatten = ravel

    def transpose(self, *axes: Any) -> Any:
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = axes[0]
        return self._method("transpose", (axes,) if axes else (), {})

    def copy(self) -> Tracer:
        return self

    def _apply(self, name: str) -> Tracer:
        """Apply a gate by name, for `fastbp.autodiff.functions`."""
        return gate(name, self)

    def __getitem__(self, index: Any) -> Tracer:
        from fastbp.autodiff.indexing import taken

        return taken(self, index)

    def __neg__(self) -> Tracer:
        return gate("negate", self)

    def __pos__(self) -> Tracer:
        return self

    def __abs__(self) -> Tracer:
        return gate("abs", self)

    def __matmul__(self, other: Any) -> Tracer:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tracer:
        return matmul(other, self)


def _operator(name: str, swapped: bool = False) -> Callable[..., Tracer]:
    def method(self: Tracer, other: Any) -> Tracer:
        return gate(name, other, self) if swapped else gate(name, self, other)

    return method


def _no_operator(sign: str) -> Callable[..., NoReturn]:
    def method(self: Tracer, *_: Any) -> NoReturn:
        known = "`+`, `-`, `*`, `/`, `**`, `@` and comparisons"
        raise ConfigTypeError(f"`{sign}` is not supported for traced values; supported are {known}")

    return method


def _is_truth(value: Any) -> bool:
    """Whether a value is a boolean made of comparisons."""
    if not isinstance(value, Tracer):
        return bool(_constant(value).dtype == bool)
    node = value.graph.nodes[value.number]
    if node.gate in ("minimum", "maximum", "spread", "reshape", "transpose", "take", "place"):
        return all(_is_truth(Tracer(value.graph, i)) for i in node.inputs)
    constant = value.graph.value_of(value.number)
    return node.gate in COMPARISONS.values() or (constant is not None and bool(np.isin(constant, (0, 1)).all()))


def _logic(sign: str, name: str) -> Callable[..., Any]:
    def method(*values: Any) -> Any:
        if not all(map(_is_truth, values)):
            raise ConfigTypeError(sign, "must be of comparisons such as `x > 0`", "another traced value")
        return getattr(np, name)(*values)

    return method


for _symbol, _name in OPERATORS.items():
    setattr(Tracer, f"__{_symbol}__", _operator(_name))
    setattr(Tracer, f"__r{_symbol}__", _operator(_name, swapped=True))
for _symbol, _name in COMPARISONS.items():
    setattr(Tracer, f"__{_symbol}__", _operator(_name))
for _symbol, _name in SIGNS.items():
    setattr(Tracer, f"__{_symbol}__", _no_operator(_name))
    setattr(Tracer, f"__r{_symbol}__", _no_operator(_name))
for _symbol, (_sign, _name) in LOGIC.items():
    setattr(Tracer, f"__{_symbol}__", _logic(_sign, _name))
    setattr(Tracer, f"__r{_symbol}__", _logic(_sign, _name))
setattr(Tracer, "__invert__", _logic("~", "logical_not"))  # noqa: B010


def graph_of(*values: Any) -> Graph:
    graph = next((v.graph for v in values if isinstance(v, Tracer)), None)
    if graph is None:
        raise ConfigTypeError("one of the values must be traced")
    return graph


def node_of(graph: Graph, value: Any) -> int:
    """The node of a traced or constant value."""
    if isinstance(value, Tracer):
        if value.graph is not graph:
            raise ConfigError("traced values must be of the same function")
        return value.number
    array = _constant(value)
    if array.dtype.kind not in "fiub":
        raise ConfigTypeError(f"a constant in a traced function must be real numbers, got dtype `{array.dtype}`")
    return graph.constant(array)


def _constant(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):  # a RuntimeError is what tensors with gradients raise
        raise ConfigTypeError(f"a constant must be numbers, got a `{type(value).__name__}` that is no array") from None


def traced(graph: Graph, value: Any) -> Tracer:
    return value if isinstance(value, Tracer) else Tracer(graph, node_of(graph, value))


def gate(name: str, *values: Any) -> Tracer:
    """A gate of traced values and constants, spread to one shape."""
    graph = graph_of(*values)
    numbers = [node_of(graph, v) for v in values]
    if len(numbers) > 1:
        shape = broadcast(name, [graph.shape(n) for n in numbers])
        numbers = [graph.spread(n, shape) for n in numbers]
    return Tracer(graph, graph.gate(name, *numbers))


def axes_of(shape: Shape, axis: Any) -> tuple[int, ...]:
    """The axes, sorted and counted from 0; None means all."""
    axes = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    try:
        found = tuple(sorted(operator.index(a) % len(shape) if -len(shape) <= a < len(shape) else a for a in axes))
    except TypeError:
        raise ConfigTypeError("axis", "must be a whole number, a tuple of them or None", f"`{brief(axis)}`") from None
    if any(not 0 <= a < len(shape) for a in found):
        raise ShapeError("axis", f"must be one of shape `{shape}`", f"`{axis}`")
    if len(set(found)) < len(found):
        raise ShapeError("axis", "must have distinct axes", f"`{axis}`")
    return found


def total(a: Tracer, axis: Any = None, *, keepdims: bool = False) -> Tracer:
    """Σ over some axes."""
    shape, found = a.shape, axes_of(a.shape, axis)
    out = Tracer(a.graph, a.graph.gate("sum", a.number, note=found))
    return reshape(out, tuple(1 if i in found else size for i, size in enumerate(shape))) if keepdims else out


def reshape(x: Tracer, shape: Any) -> Tracer:
    """The same numbers in another shape; one length may be -1."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    try:
        wanted = [operator.index(s) for s in sizes]
    except TypeError:
        raise ConfigTypeError("shape", "must be whole numbers", f"`{brief(shape)}`") from None
    if wanted.count(-1) == 1:
        known = int(np.prod([s for s in wanted if s != -1]))
        wanted = [x.size // max(known, 1) if s == -1 else s for s in wanted]
    if any(s < 0 for s in wanted):
        raise ShapeError("reshape", "must have at most one length of -1", f"`{shape}`")
    return Tracer(x.graph, x.graph.gate("reshape", x.number, note=tuple(wanted)))


def matmul(x: Any, y: Any) -> Tracer:
    """x y, with NumPy's rules for vectors; of two vectors the sum of their products."""
    graph = graph_of(x, y)
    a, b = traced(graph, x), traced(graph, y)
    if not a.ndim or not b.ndim:
        raise ShapeError("matmul", "must have vectors or matrices", f"shapes `{a.shape}` and `{b.shape}`")
    if a.shape[-1] != b.shape[0]:
        raise ShapeError("matmul", "must have shapes that fit", f"`{a.shape}` and `{b.shape}`")
    if a.ndim == b.ndim == 1:
        return total(gate("multiply", a, b))
    left = reshape(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
    product = Tracer(graph, graph.gate("matmul", left.number, right.number))
    shape = (*((a.shape[0],) if a.ndim == 2 else ()), *((b.shape[1],) if b.ndim == 2 else ()))
    return product if product.shape == shape else reshape(product, shape)
