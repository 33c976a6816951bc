"""Traced functions: what a plain Python function computes, and its derivatives."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fastbp.autodiff.graph import Graph, Shape
from fastbp.autodiff.nested import OPEN, Inside, inside, results_of, tracing
from fastbp.autodiff.numpy_names import nodes_of_results
from fastbp.autodiff.program import Program
from fastbp.autodiff.tracer import Tracer
from fastbp.autodiff.values import of_shapes, shape_of, values
from fastbp.engine.forks import lock
from fastbp.engine.recent import Recent
from fastbp.errors import ConfigTypeError, FastbpError, ShapeError, brief, not_one_of

if TYPE_CHECKING:
    from fastbp.pictures.picture import Picture

Array = NDArray[Any]
Value = Any  # a float or an array
SHAPES = 64  # sets of shapes whose programs a function keeps, and as many older ones


@dataclass
class Traces:
    """A function for arguments of given shapes: its graph, and the programs made so far."""

    graph: Graph
    arguments: list[int]
    outputs: list[int]
    single: bool
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def shapes(self) -> list[Shape]:
        """Of the results."""
        return [self.graph.shape(o) for o in self.outputs]

    def program(self, kind: str) -> Program:
        """The program for "value", "gradient", "vjp", "jvp" or "hessian_vector", made on first use."""
        if kind not in self.programs:
            like = {"vjp": self.outputs, "jvp": self.arguments, "hessian_vector": self.arguments}.get(kind, [])
            seeds = [self.graph.argument(self.graph.shape(n)) for n in like]
            results = results_of(kind, self.graph, self.arguments, self.outputs, seeds)
            self.programs[kind] = Program(self.graph, [*self.arguments, *seeds], results)
        return self.programs[kind]


class Traced:
    """A function of numbers and arrays that knows its derivatives; `trace` makes one.

    It runs once on placeholders for each set of argument shapes, and its operations are kept as a graph of gates. Calls
    run that graph, so values captured from outside are those of the first call. Inside another traced function, calls
    and derivatives add gates to that function's graph, so derivatives nest.

    Examples
    --------
    >>> import fastbp as fb
    >>> F = fb.trace(lambda x, y: (x + fb.sigmoid(y)) / (fb.sigmoid(x) + (x + y) ** 2))
    >>> round(F(3.0, -4.0), 6)
    1.545645
    >>> [round(g, 6) for g in F.gradient(3.0, -4.0)]
    [2.05957, 1.592233]
    """

    def __init__(self, function: Callable[..., Any], dtype: Any = "float64") -> None:
        if not callable(function):
            raise ConfigTypeError("trace", "must be given a function", f"`{brief(function)}`")
        if isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
            dtype = np.dtype(dtype).name
        if not isinstance(dtype, str) or dtype not in ("float64", "float32"):
            raise not_one_of("dtype", dtype, ("float64", "float32"))
        self.function = function
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._traces: Recent[tuple[Shape, ...], Traces] = Recent(SHAPES)
        self._lock = lock("this traced function")
        self._name = ""

    def __reduce__(self) -> Any:
        from fastbp.autodiff.pickled import parts

        return parts(self)

    def __copy__(self) -> Traced:
        return Traced(self.function, self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Traced:
        return Traced(copy.deepcopy(self.function, memo), self.dtype)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Traced:
        """A method, traced for each instance; the instance's state is that of the first call."""
        if instance is None:
            return self
        bound = Traced(MethodType(self.function, instance), self.dtype)
        if self._name and hasattr(instance, "__dict__"):
            instance.__dict__.setdefault(self._name, bound)
        return bound

    def __repr__(self) -> str:
        return f"Traced({getattr(self.function, '__name__', self.function)}, dtype={self.dtype.name!r})"

    def _trace(self, shapes: tuple[Shape, ...]) -> Traces:
        """The function for arguments of these shapes, traced on first use."""
        self._check_count(len(shapes))
        with self._lock:
            found = self._traces.find(shapes)
            if found is None:
                graph = Graph(self.dtype.name)
                tracers = [Tracer(graph, graph.argument(shape)) for shape in shapes]
                try:
                    with tracing(graph):
                        outputs, single = nodes_of_results(graph, self.function(*tracers))
                except (TypeError, ValueError) as error:
                    if isinstance(error.__cause__, FastbpError):  # NumPy hides a tracer's error behind its own
                        raise error.__cause__ from None
                    raise
                found = self._traces[shapes] = Traces(graph, list(graph.arguments), outputs, single)
            return found

    def _check_count(self, count: int) -> None:
        wanted = getattr(self.function, "nin", count)  # of a function of NumPy's
        if count != wanted:
            raise ConfigTypeError(f"the traced function must be given {wanted} arguments, got {count}")
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError):  # a function of C
            return
        try:
            signature.bind(*range(count))
        except TypeError:
            names = ", ".join(f"`{name}`" for name in signature.parameters)
            raise ConfigTypeError(f"the traced function must be given {names}, got {count} arguments") from None

    def _values(self, args: Sequence[Any]) -> tuple[list[Value], Traces]:
        """The arguments, converted for programs, and the function traced for their shapes."""
        if not isinstance(args, tuple | list):
            raise ConfigTypeError("args", "must be a tuple, one value per argument", f"a `{type(args).__name__}`")
        found = values("argument", args, self.dtype)
        shapes = tuple([() if type(v) is float else v.shape for v in found])
        return found, self._traces.get(shapes) or self._trace(shapes)

    def _program(self, traces: Traces, kind: str) -> Program:
        with self._lock:
            return traces.program(kind)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The result: a float, an array or a tuple of them; inside another traced function, traced values."""
        if named:
            raise by_position(named)
        if Tracer in map(type, args):
            return self.function(*args)
        if OPEN.graphs and (around := inside(self.function, args)):
            results = tuple(around.results("value"))
            return results[0] if around.single else results
        found, traces = self._values(args)
        run = traces.programs.get("value") or self._program(traces, "value")
        results = run(found)
        return results[0] if traces.single else results

    def _around(self, args: Sequence[Any], moved: Any = ()) -> Inside | None:
        """The function on the graph of an enclosing traced function, if there is one."""
        others = moved if isinstance(moved, tuple | list) else (moved,)
        known = (
            OPEN.graphs or Tracer in map(type, others) or (isinstance(args, tuple | list) and Tracer in map(type, args))
        )
        return inside(self.function, args, others) if known else None

    def value_and_gradient(self, *args: Any, **named: Any) -> tuple[float, tuple[Value, ...]]:
        """The value of a scalar function and its derivative in every argument.

        Returns
        -------
        value : float
        gradient : tuple
            One for each argument, of its shape.
        """
        if named:
            raise by_position(named)
        if (OPEN.graphs or Tracer in map(type, args)) and (around := self._around(args)):
            self._check_number("gradient", around)
            nodes = around.results("gradient")
            return cast(Any, nodes[0]), tuple(nodes[1:])
        found, traces = self._values(args)
        run = traces.programs.get("gradient")
        if run is None:
            self._check_number("gradient", traces)
            run = self._program(traces, "gradient")
        value, *gradient = run(found)
        return value, tuple(gradient)

    def gradient(self, *args: Any, **named: Any) -> tuple[Value, ...]:
        """The derivative of a scalar function in every argument, as a tuple."""
        return self.value_and_gradient(*args, **named)[1]

    def _check_number(self, what: str, traces: Traces | Inside) -> None:
        if not traces.single or traces.shapes != [()]:
            shown = ", ".join(f"`{shape}`" for shape in traces.shapes)
            raise ShapeError(f"`{what}` needs a function whose result is one number, got shape {shown}")

    def vjp(self, args: Sequence[Any], u: Any) -> tuple[Value, ...]:
        """uᵀ J in reverse mode: from a cotangent of the result to one of every argument.

        Parameters
        ----------
        args : tuple
            Where to take the Jacobian J.
        u : float, array or tuple
            In the shape of the result; a tuple where the function returns several.
        """
        if around := self._around(args, u):
            return tuple(around.results("vjp", around.seeds("u", u, around.shapes, around.single)))
        found, traces = self._values(args)
        cotangents = of_shapes("u", u, traces.shapes, traces.single, self.dtype)
        return self._program(traces, "vjp")([*found, *cotangents])

    def jvp(self, args: Sequence[Any], tangents: Sequence[Any]) -> Value:
        """J t in forward mode: from tangents of the arguments, a tuple, to that of the result."""
        if around := self._around(args, tangents):
            moving = around.results("jvp", around.seeds("tangents", tangents, around.argument_shapes, False))
            return moving[0] if around.single else tuple(moving)
        found, traces = self._values(args)
        moved = of_shapes("tangents", tangents, [shape_of(v) for v in found], False, self.dtype)
        results = self._program(traces, "jvp")([*found, *moved])
        return results[0] if traces.single else results

    def jacobian(self, *args: Any, mode: str = "auto", **named: Any) -> Any:
        """∂result/∂argument, in the shape of the result and then the argument.

        Of several arguments a tuple, one for each; of several results a tuple of these.

        Parameters
        ----------
        mode : {"auto", "forward", "reverse"}
            Column by column, a jvp for each number of the arguments; row by row, a vjp for each number of the results;
            or whichever are fewer.

        Examples
        --------
        >>> import numpy as np, fastbp as fb
        >>> fb.trace(lambda x: np.stack([x[0] * x[1], x[0] + x[1]])).jacobian(np.array([2.0, 3.0]))
        array([[3., 2.],
               [1., 1.]])
        """
        if named:
            raise by_position(named)
        if not isinstance(mode, str) or mode not in ("auto", "forward", "reverse"):
            raise not_one_of("mode", mode, ("auto", "forward", "reverse"))
        if around := self._around(args):
            rows_of = [_plain(list(row)) for row in around.jacobian(mode)]
            return rows_of[0] if around.single else tuple(rows_of)
        found, traces = self._values(args)
        shapes = [shape_of(v) for v in found]
        columns, rows = (sum(int(np.prod(s)) for s in group) for group in (shapes, traces.shapes))
        blocks = [[np.empty((*out, *into), self.dtype) for into in shapes] for out in traces.shapes]
        if mode == "forward" or (mode == "auto" and columns < rows):
            for which, at, tangents in _units(shapes, self.dtype):
                moved = self.jvp(found, tangents)
                for block, part in zip(blocks, [moved] if traces.single else moved, strict=True):
                    block[which][(..., *at)] = part
        else:
            for which, at, units in _units(traces.shapes, self.dtype):
                for block, part in zip(
                    blocks[which], self.vjp(found, units[0] if traces.single else units), strict=True
                ):
                    block[at] = part
        found_blocks = [_plain(row) for row in blocks]
        return found_blocks[0] if traces.single else tuple(found_blocks)

    def hessian_vector(self, args: Sequence[Any], v: Sequence[Any]) -> tuple[Value, ...]:
        """H v, forward over reverse: the derivative of the gradient along v (Pearlmutter, 1994).

        Examples
        --------
        >>> import fastbp as fb
        >>> fb.trace(lambda x, y: x * x * y).hessian_vector((3.0, 2.0), (1.0, 0.0))
        (4.0, 6.0)
        """
        if around := self._around(args, v):
            self._check_number("hessian_vector", around)
            return tuple(around.results("hessian_vector", around.seeds("v", v, around.argument_shapes, False)))
        found, traces = self._values(args)
        self._check_number("hessian_vector", traces)
        moved = of_shapes("v", v, [shape_of(a) for a in found], False, self.dtype)
        return self._program(traces, "hessian_vector")([*found, *moved])

    def hessian(self, *args: Any, **named: Any) -> Any:
        """The second derivatives of a scalar function, column by column.

        Of one argument an array, its shape twice; of several a tuple of tuples.
        """
        if named:
            raise by_position(named)
        if around := self._around(args):
            self._check_number("hessian", around)
            return _plain([_plain(list(row)) for row in around.hessian()])
        found, traces = self._values(args)
        self._check_number("hessian", traces)
        shapes = [shape_of(v) for v in found]
        blocks = [[np.empty((*row, *column), self.dtype) for column in shapes] for row in shapes]
        for which, at, units in _units(shapes, self.dtype):
            for row, part in zip(blocks, self.hessian_vector(found, units), strict=True):
                row[which][(..., *at)] = part
        return _plain([_plain(row) for row in blocks])

    def explain(self, /, *args: Any, **named: Any) -> str:
        """Every gate with its value, then every adjoint in the order of the backward pass, as a table."""
        from fastbp.autodiff.explain import explain

        return explain(self, args, named)

    def draw(self, /, *args: Any, **named: Any) -> Picture:
        """The gates as a picture, with the value above and the adjoint below each edge."""
        from fastbp.autodiff.draw import draw

        return draw(self, args, named)


def by_position(named: dict[str, Any]) -> ConfigTypeError:
    names = ", ".join(f"`{n}`" for n in named)
    return ConfigTypeError(f"values of a traced function must be given by position, got {names} by name")


def _units(shapes: Sequence[Shape], dtype: np.dtype[Any]) -> Any:
    """Every unit vector of values of these shapes, with the index of the value and the place in it."""
    values = [np.zeros(shape, dtype) for shape in shapes]
    for which, value in enumerate(values):
        for at in np.ndindex(value.shape):
            value[at] = 1.0
            yield which, at, values
            value[at] = 0.0


def _plain(blocks: list[Any]) -> Any:
    """Results as returned: a single one unwrapped, numbers as floats."""
    found = [float(b) if isinstance(b, np.ndarray) and not b.shape else b for b in blocks]
    return found[0] if len(found) == 1 else tuple(found)


def trace(function: Callable[..., Any], dtype: Any = "float64") -> Traced:
    """Trace a function of numbers and arrays, so that it can be differentiated.

    The function runs on placeholders that record each operation: operators, NumPy's functions and those of fastbp.
    Loops and branches may depend on Python values, but not on traced ones. Values have at most two axes, and subnormal
    results may be flushed to zero. `trace` can decorate functions and methods; for methods, attributes of `self` are
    those of the first call.

    Parameters
    ----------
    function : callable
        Of numbers, vectors and matrices, to one of them or a tuple.
    dtype : {"float64", "float32"} or NumPy's
        What everything is computed in. `sin` and `cos` are NaN beyond 2⁵⁰ in float64 and 2²² in float32.

    Examples
    --------
    >>> import numpy as np, fastbp as fb
    >>> loss = fb.trace(lambda W, x: (np.tanh(W @ x) ** 2).sum())
    >>> value, (dW, dx) = loss.value_and_gradient(np.ones((2, 3)), np.zeros(3))
    >>> value, dW.shape, dx.shape
    (0.0, (2, 3), (3,))

    A gradient is always a tuple, so SciPy takes it as
    `minimize(F, x0, jac=lambda x: F.gradient(x)[0])`:

    >>> F = fb.trace(lambda x: np.sum((x - 1.0) ** 4))
    >>> jac = lambda x: F.gradient(x)[0]
    >>> jac(np.array([2.0, 1.0]))
    array([4., 0.])
    """
    return Traced(function, dtype)
