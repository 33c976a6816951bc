"""Traced functions: what a plain Python function computes, and its derivatives, compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.emit import source_of
from fastbp.autodiff.graph import Graph, Shape
from fastbp.autodiff.tracer import Tracer, node_of
from fastbp.autodiff.walk import pull, push
from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, not_one_of
from fastbp.model.arrays import as_array

Array = NDArray[np.float64]
Value = Any  # a float or an array


@dataclass
class Program:
    """A function for arguments of certain shapes: its graph, and compiled functions made from it."""

    graph: Graph
    arguments: list[int]
    outputs: list[int]
    single: bool

    def __post_init__(self) -> None:
        self._compiled: dict[Any, Callable[..., tuple[Value, ...]]] = {}

    def run(self, key: Any, make: Callable[[], tuple[list[int], list[int]]]) -> Callable[..., tuple[Value, ...]]:
        """The compiled function of that name; `make` returns its outputs and arguments."""
        if key not in self._compiled:
            outputs, arguments = make()
            self._compiled[key] = compiled(*source_of(self.graph, outputs, arguments))
        return self._compiled[key]


_COMPILED: dict[Any, Any] = {}


def compiled(source: str, constants: dict[str, Any]) -> Any:
    """Compile the text of a function; the same text with the same constants is compiled once."""
    from numba import njit

    from fastbp.autodiff.runtime import names

    key = source, tuple((name, value.tobytes()) for name, value in constants.items())
    if key not in _COMPILED:
        scope = {**names(), **constants}
        exec(compile(source, "<traced>", "exec"), scope)
        _COMPILED[key] = njit(error_model="numpy")(scope["traced"])
    return _COMPILED[key]


@cache
def basis(size: int) -> Array:
    return np.eye(size)


class Traced:
    """A function of numbers and arrays, run once on tracers for each set of shapes, then compiled.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> F = fb.trace(lambda x, y: (x + fb.sigmoid(y)) / (fb.sigmoid(x) + (x + y) ** 2))
    >>> round(F(3.0, -4.0), 6)
    1.545645
    >>> [round(g, 6) for g in F.gradient(3.0, -4.0)]
    [2.05957, 1.592233]
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise ConfigTypeError(f"`trace` must be given a function, got `{function!r}`")
        self.function = function
        self._programs: dict[tuple[Shape, ...], Program] = {}

    def __repr__(self) -> str:
        return f"Traced({getattr(self.function, '__name__', self.function)!r})"

    def _values(self, args: Sequence[Any], where: str = "argument") -> list[Value]:
        found: list[Value] = []
        for i, arg in enumerate(args):
            array = np.asarray(as_array(f"{where} {i}", arg), np.float64, order="C")
            found.append(float(array) if np.ndim(arg) == 0 else array)
        return found

    def program(self, *shapes: Shape) -> Program:
        """The function for arguments of these shapes."""
        if shapes not in self._programs:
            graph = Graph()
            tracers = [Tracer(graph, graph.argument(shape)) for shape in shapes]
            found = self.function(*tracers)
            single = not isinstance(found, tuple | list)
            outputs = [node_of(graph, v) for v in ([found] if single else found)]
            self._programs[shapes] = Program(graph, list(graph.arguments), outputs, single)
        return self._programs[shapes]

    def _of(self, values: Sequence[Value]) -> Program:
        return self.program(*(np.shape(v) for v in values))

    def __call__(self, *args: Any) -> Any:
        values = self._values(args)
        p = self._of(values)
        found = p.run("value", lambda: (p.outputs, p.arguments))(*values)
        return found[0] if p.single else found

    def value_and_gradient(self, *args: Any) -> tuple[float, tuple[Value, ...]]:
        """The value and the derivative in every argument, of a function whose result is one number."""
        values = self._values(args)
        p = self._of(values)
        if not p.single or p.graph.shape(p.outputs[0]) != ():
            shapes = [p.graph.shape(o) for o in p.outputs]
            raise ShapeError(f"`gradient` must be of one number, got results of shape {', '.join(map(str, shapes))}")
        (output,) = p.outputs

        def make() -> tuple[list[int], list[int]]:
            return [output, *pull(p.graph, output, p.graph.constant(1.0), p.arguments)], p.arguments

        value, *gradient = p.run("gradient", make)(*values)
        return value, tuple(gradient)

    def gradient(self, *args: Any) -> tuple[Value, ...]:
        """The derivative in every argument, of a function whose result is one number."""
        return self.value_and_gradient(*args)[1]

    def _one_output(self, p: Program) -> int:
        if not p.single:
            raise ConfigError("products with a Jacobian must be of a function with one result, got several")
        return p.outputs[0]

    def vjp(self, args: Sequence[Any], u: Any) -> tuple[Value, ...]:
        """uᵀ J in reverse mode: a cotangent of the result to one of every argument."""
        values, (cotangent,) = self._values(args), self._values([u], "cotangent")
        p = self._of(values)
        output = self._one_output(p)
        if np.shape(cotangent) != p.graph.shape(output):
            raise ShapeError(f"`u` must have shape `{p.graph.shape(output)}`, got `{np.shape(cotangent)}`")

        def make() -> tuple[list[int], list[int]]:
            seed = p.graph.argument(p.graph.shape(output))
            return pull(p.graph, output, seed, p.arguments), [*p.arguments, seed]

        return p.run("vjp", make)(*values, cotangent)

    def jvp(self, args: Sequence[Any], tangents: Sequence[Any]) -> Value:
        """J t in forward mode: tangents of the arguments to one of the result."""
        values, moved = self._values(args), self._values(tangents, "tangent")
        p = self._of(values)
        output = self._one_output(p)
        if [np.shape(t) for t in moved] != [np.shape(v) for v in values]:
            wanted, got = ([np.shape(v) for v in vs] for vs in (values, moved))
            raise ShapeError(f"`tangents` must have shapes `{wanted}`, got `{got}`")

        def make() -> tuple[list[int], list[int]]:
            seeds = {a: p.graph.argument(p.graph.shape(a)) for a in p.arguments}
            return push(p.graph, [output], seeds), [*p.arguments, *seeds.values()]

        return p.run("jvp", make)(*values, *moved)[0]

    def jacobian(self, *args: Any, mode: str = "auto") -> Any:
        """∂result/∂argument for every argument, shape result + argument; a tuple where there are several.

        Parameters
        ----------
        mode : {"auto", "forward", "reverse"}
            Columns by jvp, rows by vjp, or whichever are fewer.
        """
        if not isinstance(mode, str) or mode not in ("auto", "forward", "reverse"):
            raise not_one_of("mode", mode, ("auto", "forward", "reverse"))
        values = self._values(args)
        p = self._of(values)
        shape = p.graph.shape(self._one_output(p))
        shapes = [np.shape(v) for v in values]
        n, m = sum(int(np.prod(s)) for s in shapes), int(np.prod(shape))
        if mode == "forward" or (mode == "auto" and n < m):
            found = self._columns(values, shapes, shape)
        else:
            found = [np.empty((m, int(np.prod(s)))) for s in shapes]
            for row in range(m):
                u = basis(m)[row].reshape(shape) if shape else 1.0
                for block, part in zip(found, self.vjp(values, u), strict=True):
                    block[row] = np.ravel(part)
        blocks = tuple(b.reshape((*shape, *s)) for b, s in zip(found, shapes, strict=True))
        return blocks[0] if len(blocks) == 1 else blocks

    def _columns(self, values: list[Value], shapes: list[Shape], shape: Shape) -> list[Array]:
        found = []
        for which, own in enumerate(shapes):
            size = int(np.prod(own))
            block = np.empty((int(np.prod(shape)), size))
            for column in range(size):
                tangents = [np.zeros(s) if s else 0.0 for s in shapes]
                tangents[which] = basis(size)[column].reshape(own) if own else 1.0
                block[:, column] = np.ravel(self.jvp(values, tangents))
            found.append(block)
        return found

    def hessian_vector(self, args: Sequence[Any], v: Sequence[Any]) -> tuple[Value, ...]:
        """H v, forward over reverse: how the gradient moves when the arguments move along v (Pearlmutter, 1994)."""
        values, moved = self._values(args), self._values(v, "tangent")
        p = self._of(values)
        output = self._one_output(p)
        if p.graph.shape(output) != ():
            raise ShapeError(f"`hessian_vector` must be of one number, got shape `{p.graph.shape(output)}`")
        if [np.shape(t) for t in moved] != [np.shape(a) for a in values]:
            wanted, got = ([np.shape(x) for x in xs] for xs in (values, moved))
            raise ShapeError(f"`v` must have shapes `{wanted}`, got `{got}`")

        def make() -> tuple[list[int], list[int]]:
            gradient = pull(p.graph, output, p.graph.constant(1.0), p.arguments)
            seeds = {a: p.graph.argument(p.graph.shape(a)) for a in p.arguments}
            return push(p.graph, gradient, seeds), [*p.arguments, *seeds.values()]

        return p.run("hessian_vector", make)(*values, *moved)

    def explain(self, **values: Any) -> str:
        """Every gate with its value, then every adjoint in the order of the backward pass, as a table."""
        from fastbp.autodiff.draw import explain

        return explain(self, values)

    def draw(self, **values: Any) -> str:
        """The gates as an SVG, with the value above and the adjoint below each edge."""
        from fastbp.autodiff.draw import draw

        return draw(self, values)


def trace(function: Callable[..., Any]) -> Traced:
    """Make a plain function of numbers and arrays one that knows its derivatives."""
    return Traced(function)


def _function(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    def apply(x: Any) -> Any:
        from fastbp.autodiff.tracer import gate

        return gate(name, x) if isinstance(x, Tracer) else plain(np.asarray(x, np.float64))

    apply.__name__ = name
    apply.__doc__ = f"{name} of a traced value, a number or an array."
    return apply


sigmoid = _function("sigmoid", lambda x: 1.0 / (1.0 + np.exp(-x)))
tanh = _function("tanh", np.tanh)


def relu(x: Any) -> Any:
    """max(x, 0), whose derivative at 0 is 0."""
    return np.where(x > 0.0, x, 0.0)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0.0) + np.log(1.0 + np.exp(-np.abs(x)))
