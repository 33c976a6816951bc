"""Signals: building a network by calling layers."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief, whole_number
from fastbp.spec import gates
from fastbp.spec.catalogue import ACTIVATIONS, is_layer
from fastbp.spec.checks import real, whole
from fastbp.spec.custom import Custom
from fastbp.spec.layers import Layer

_SERIAL = count()
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
}


class Signal:
    """Values on an edge of a network, `features` per row; arithmetic on signals makes gates.

    `+ - * /` take signals of the same width, a signal of width 1, or numbers; `h[:, 2:5]` takes columns; `h.sum()` and
    `h.mean()` are over the features of a row.
    """

    def __init__(self, layer: Layer | None, sources: tuple[Signal, ...], features: int, name: str | None) -> None:
        self.layer, self.sources, self.features, self.name = layer, sources, features, name
        self.serial = next(_SERIAL)

    def __repr__(self) -> str:
        return f"Signal(features={self.features}, of={self.layer or 'Input'})"

    def __bool__(self) -> bool:
        raise ConfigError(
            "a network must be the same for all rows, so a signal has no truth value",
            hint="`fb.relu(h)` or a product with `fb.sigmoid(g)` chooses row by row",
        )

    def _compared(self, other: Any) -> bool:
        return bool(self)

    __lt__ = __le__ = __gt__ = __ge__ = _compared
    __hash__ = object.__hash__

    def __eq__(self, other: Any) -> bool:
        return self is other if isinstance(other, Signal) or other is None else bool(self)

    def _product(self, other: Any) -> Any:
        raise ConfigError("a signal must be multiplied with a matrix by a layer, such as `fb.Linear(10)(h)`, got `@`")

    __matmul__ = __rmatmul__ = _product

    def _apply(self, name: str) -> Signal:
        """The activation of this name, or the gate."""
        if name in ACTIVATIONS:
            return applied(ACTIVATIONS[name](), (self,))
        return applied(Custom((("argument",), (name, 0))), (self,))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """NumPy's elementwise functions of one signal and numbers."""
        name = ufunc.__name__
        values = [v if isinstance(v, Signal) else _number(v) for v in inputs]
        if method == "__call__" and not settings and name in OPERATORS:
            return OPERATORS[name](*values)
        if method != "__call__" or settings or sum(isinstance(v, Signal) for v in values) != 1:
            hint = "`h + fb.relu(g - h)` is the larger of two" if name in ("maximum", "fmax") else None
            raise ConfigError(f"np.{name}", "must be given one signal, and otherwise numbers", hint=hint)
        if name in ACTIVATIONS:
            return applied(ACTIVATIONS[name](), (self,))
        return applied(Custom(lambda x: ufunc(*(x if isinstance(v, Signal) else v for v in values))), (self,))

    def __array_function__(self, function: Any, kinds: Any, args: Any, settings: Any) -> Any:
        """NumPy's other functions."""
        name = function.__name__
        if name in ("sum", "mean"):
            return getattr(args[0], name)(*args[1:], **({"axis": None} | settings if len(args) < 2 else settings))
        if name == "concatenate" and (args[1:] or (settings.get("axis", 0),))[0] in (1, -1):
            return concat(args[0])
        if name == "hstack":
            return concat(args[0])
        if name == "clip":
            low, high = (None if v is None else real("a limit", v) for v in [*args[1:], *settings.values()])
            return applied(Custom(lambda x: np.clip(x, low, high)), (self,))
        hint = "`fb.concat([h, g])`, or `axis=1`" if name in ("concatenate", "stack", "vstack") else None
        raise ConfigError(f"`np.{name}` is not supported in a network", hint=hint)

    def __add__(self, other: Any) -> Signal:
        return _two(gates.Add, self, other, lambda b: gates.Affine(1.0, b))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Signal:
        return _two(gates.Subtract, self, other, lambda b: gates.Affine(1.0, -b))

    def __rsub__(self, other: Any) -> Signal:
        return applied(gates.Affine(-1.0, _number(other)), (self,))

    def __mul__(self, other: Any) -> Signal:
        return _two(gates.Multiply, self, other, lambda a: gates.Affine(a, 0.0))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Signal:
        return _two(gates.Divide, self, other, _inverse)

    def __rtruediv__(self, other: Any) -> Signal:
        return applied(gates.Reciprocal(_number(other)), (self,))

    def __neg__(self) -> Signal:
        return applied(gates.Affine(-1.0, 0.0), (self,))

    def __pow__(self, power: Any) -> Signal:
        number = whole_number("power", power)
        if not 1 <= number <= 16:
            raise ConfigError("power", "must be between 1 and 16", f"`{number}`")
        out = self
        for digit in bin(number)[3:]:
            out = out * out
            out = out * self if digit == "1" else out
        return out

    def __rpow__(self, base: Any) -> Signal:
        number = _number(base)
        return applied(Custom(lambda x: number**x), (self,))

    def __getitem__(self, columns: Any) -> Signal:
        if not isinstance(columns, tuple) or len(columns) != 2 or columns[0] != slice(None):
            raise ConfigError(
                f"a signal must be cut as `h[:, 2:5]` or `h[:, 0]`, all rows first, got `h[{brief(columns)}]`"
            )
        at = columns[1]
        if not isinstance(at, slice):
            index = whole_number("column", at)
            if not -self.features <= index < self.features:
                raise ShapeError("column", f"must be one of the {self.features} of its signal", f"`{index}`")
            index %= self.features
            at = slice(index, index + 1)
        limits = [None if v is None else whole_number("column", v) for v in (at.start, at.stop, at.step)]
        start, stop, step = slice(*limits).indices(self.features)
        if step != 1 or stop <= start:
            shown = ":".join("" if v is None else str(v) for v in (limits if limits[2] is not None else limits[:2]))
            raise ConfigError("columns", "must be consecutive, and at least one", f"`{shown}`")
        return applied(gates.Slice(start, stop), (self,))

    def __iter__(self) -> Any:
        raise ConfigTypeError("a signal must not be iterated over; `h[:, 0]` is its first column")

    def __abs__(self) -> Signal:
        return self._apply("abs")

    def sum(self, axis: int | None = 1, keepdims: bool = True) -> Signal:
        """The sum of the features of a row, a signal of width 1."""
        return applied(gates.Sum(), (self._over_features("sum", axis),))

    def mean(self, axis: int | None = 1, keepdims: bool = True) -> Signal:
        """The mean of the features of a row, a signal of width 1."""
        return applied(gates.Mean(), (self._over_features("mean", axis),))

    def _over_features(self, what: str, axis: Any) -> Signal:
        if axis not in (1, -1):
            raise ConfigError(
                f"`{what}` of a signal must be over its features, axis 1, as rows do not mix, got `{axis}`"
            )
        return self


def Input(features: int, name: str | None = None) -> Signal:
    """An input of a network, `features` numbers per row.

    Parameters
    ----------
    features : int, >= 1
    name : str, optional
        Key for dicts of several inputs, as in `predict`.

    Examples
    --------
    A residual block: the cotangents of both branches add up.

    >>> import fastbp as fb
    >>> x = fb.Input(64)
    >>> h = fb.relu(fb.Linear(128)(x))
    >>> net = fb.Network(inputs=x, outputs=fb.Linear(10)(h + fb.Linear(128)(x)), seed=0)
    >>> list(net.parameters)
    ['0.weight', '0.bias', '2.weight', '2.bias', '4.weight', '4.bias']
    """
    return Signal(None, (), whole("Input.features", features, 1), checked_name(name))


def checked_name(name: Any) -> str | None:
    """Check a name: letters, digits, - and _, a letter first."""
    if name is not None and (not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name)):
        raise ConfigError("name", "must be of letters, digits, `-` and `_`, a letter first", f"`{name}`")
    return name


def applied(layer: Layer, signals: Sequence[Any], name: str | None = None) -> Signal:
    """Apply a layer to signals; shapes are checked at the call."""
    if not is_layer(layer):
        raise ConfigTypeError(f"{layer!r}", "must be a layer of fastbp to be called")
    if len(signals) == 1 and isinstance(signals[0], list | tuple):
        signals = signals[0]
    for signal in signals:
        if not isinstance(signal, Signal):
            raise ConfigTypeError(
                type(layer).__name__,
                "must be called with signals such as `fb.Input(64)`",
                f"`{type(signal).__name__}`",
                hint="a Network takes numbers, a layer takes signals",
            )
    widths = [s.features for s in signals]
    features = layer.of(widths, [called(s) for s in signals])
    return Signal(layer, tuple(signals), features, checked_name(name))


def called(signal: Signal) -> str:
    """The name of a signal in messages."""
    of = f"`{signal.name}`, " if signal.name else ""
    return f"{of}{signal.layer}" if signal.layer is not None else f"{of}Input({signal.features})"


def concat(signals: Sequence[Any]) -> Signal:
    """The features of several signals, one behind the other.

    Parameters
    ----------
    signals : list of signals
    """
    if not isinstance(signals, list | tuple):
        raise ConfigTypeError("signals", "must be a list of signals", f"`{brief(signals)}`")
    return applied(gates.Concat(), signals)


def _number(value: Any) -> float:
    """A number combined with a signal."""
    try:
        return real("a number beside a signal", value)
    except ConfigTypeError:
        raise ConfigTypeError(
            f"a signal must be combined with signals and numbers, got `{type(value).__name__}`"
        ) from None
    except ConfigError:
        raise ConfigError(f"a number combined with a signal must be finite, got `{value}`") from None


def _inverse(a: float) -> Layer:
    if a == 0.0 or math.isinf(1.0 / a):
        raise ConfigError(f"a signal must not be divided by `{a}`")
    return gates.Affine(1.0 / a, 0.0)


def _two(gate: type[Layer], a: Signal, b: Any, with_number: Callable[[float], Layer]) -> Signal:
    """A gate of two signals, a narrow one broadcast, or of a signal and a number."""
    if not isinstance(b, Signal):
        return applied(with_number(_number(b)), (a,))
    if a.features == 1 < b.features:
        a = applied(gates.Repeat(b.features), (a,))
    if b.features == 1 < a.features:
        b = applied(gates.Repeat(a.features), (b,))
    return applied(gate(), (a, b))
