"""ONNX files read and run without ONNX: fields of protocol buffers, and operators in NumPy."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Fields = dict[int, list[Any]]
DTYPES = {1: np.float32, 6: np.int32, 7: np.int64, 8: np.object_, 9: np.bool_, 11: np.float64}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, and what is behind it."""
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at


def fields(data: bytes) -> Fields:
    """The values of a message by the numbers of its fields."""
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire, value = tag & 7, None
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            assert wire == 5
            value, at = struct.unpack("<f", data[at : at + 4])[0], at + 4
        found.setdefault(tag >> 3, []).append(value)
    return found


def packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = varint(data, at)
        yield number - 2**64 if number >= 2**63 else number


def tensor(data: bytes) -> tuple[str, Array]:
    of = fields(data)
    shape = tuple(packed(of[1][0])) if 1 in of else ()
    if of[2][0] == 8:
        array = np.array([text.decode() for text in of.get(6, [])], object).reshape(shape)
        return of[8][0].decode() if 8 in of else "", array
    array = np.frombuffer(of[9][0], np.dtype(DTYPES[of[2][0]]).newbyteorder("<")).reshape(shape)
    return of[8][0].decode() if 8 in of else "", array


def attribute(data: bytes) -> tuple[str, Any]:
    of = fields(data)
    kind = of[20][0]
    if kind == 7:
        value: Any = list(packed(of[8][0]))
    elif kind == 8:
        value = [text.decode() for text in of[9]]
    elif kind == 3:
        value = of[4][0].decode()
    else:
        value = of[{1: 2, 2: 3}[kind]][0]
    return of[1][0].decode(), value


@dataclass
class Node:
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass
class Described:
    """An input or an output: type of elements, and sizes or names of dimensions."""

    dtype: Any
    shape: list[int | str]


@dataclass
class Model:
    """An ONNX file."""

    opset: int
    name: str
    nodes: list[Node]
    constants: dict[str, Array]
    inputs: dict[str, Described]
    outputs: dict[str, Described]
    used: set[str] = field(default_factory=set)  # operators

    def __call__(self, **given: Array) -> dict[str, Array]:
        """Run it; all that it says of its inputs and outputs must hold."""
        assert set(given) == set(self.inputs)
        sizes: dict[str, int] = {}
        for name, array in given.items():
            self._fits(name, self.inputs[name], array, sizes)
        values = {**self.constants, **given}
        with np.errstate(all="ignore"):
            for node in self.nodes:
                (out,) = node.outputs
                assert out not in values
                if node.op in ("ReduceMax", "ReduceMin"):
                    assert len(node.inputs) == (1 if self.opset < 18 else 2)
                values[out] = OPERATORS[node.op](*(values[name] for name in node.inputs), **node.attributes)
        for name, described in self.outputs.items():
            self._fits(name, described, values[name], sizes)
        return {name: values[name] for name in self.outputs}

    @staticmethod
    def _fits(name: str, described: Described, array: Array, sizes: dict[str, int]) -> None:
        assert array.dtype == described.dtype, name
        assert array.ndim == len(described.shape), name
        for size, said in zip(array.shape, described.shape, strict=True):
            assert size == (sizes.setdefault(said, size) if isinstance(said, str) else said), name


def described(data: bytes) -> tuple[str, Described]:
    of = fields(data)
    kind = fields(fields(of[2][0])[1][0])
    sizes: list[int | str] = []
    for dimension in fields(kind[2][0]).get(1, []):
        own = fields(dimension)
        sizes.append(own[1][0] if 1 in own else own[2][0].decode())
    return of[1][0].decode(), Described(np.dtype(DTYPES[kind[1][0]]), sizes)


def read(data: bytes) -> Model:
    """A model from its bytes."""
    of = fields(data)
    graph = fields(of[7][0])
    versions = {fields(one).get(1, [b""])[0].decode(): fields(one)[2][0] for one in of[8]}
    nodes = []
    for node in map(fields, graph[1]):
        inputs, outputs = ([name.decode() for name in node.get(at, [])] for at in (1, 2))
        domain = node.get(7, [b""])[0].decode()
        assert domain in versions
        assert domain == ("ai.onnx.ml" if node[4][0] == b"LabelEncoder" else "")
        nodes.append(Node(node[4][0].decode(), inputs, outputs, dict(map(attribute, node.get(5, [])))))
    parts = (dict(map(described, graph[at])) for at in (11, 12))
    return Model(
        versions[""],
        graph[2][0].decode(),
        nodes,
        dict(map(tensor, graph.get(5, []))),
        *parts,
        {node.op for node in nodes},
    )


def _gather(x: Array, at: Array, axis: int = 0) -> Array:
    assert ((at >= 0) & (at < x.shape[axis])).all()
    return np.take(x, at, axis)


def _slice(x: Array, starts: Array, ends: Array, axes: Array, steps: Any = None) -> Array:
    cut = [slice(None)] * x.ndim
    steps = np.ones_like(starts) if steps is None else steps
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(cut)]


def _reshape(x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())])


def _pad(x: Array, pads: Array) -> Array:
    return np.pad(x, list(zip(pads.tolist()[: x.ndim], pads.tolist()[x.ndim :], strict=True)))


def _reduced(how: Callable[..., Array]) -> Callable[..., Array]:
    def reduce(x: Array, axes: Any = None, keepdims: int = 1) -> Any:
        return how(x, axis=tuple(np.asarray(axes).tolist()), keepdims=bool(keepdims))

    return reduce


def _log_softmax(x: Array, axis: int) -> Array:
    z = x - x.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def _softmax(x: Array, axis: int) -> Array:
    return np.exp(_log_softmax(x, axis))


def _divide(x: Array, y: Array) -> Array:
    """Quotients of whole numbers towards 0."""
    if x.dtype.kind == "f":
        return x / y
    assert (x >= 0).all()
    return x // y


def _label_encoder(x: Array, keys_strings: list[str], values_int64s: list[int], default_int64: int) -> Array:
    codes = dict(zip(keys_strings, values_int64s, strict=True))
    assert len(codes) == len(keys_strings)
    return np.array([codes.get(text, default_int64) for text in x.ravel().tolist()], np.int64).reshape(x.shape)


def _arg_max(x: Array, axis: int, keepdims: int) -> Array:
    return np.argmax(x, axis=axis, keepdims=bool(keepdims))


def _unsqueeze(x: Array, axes: Array) -> Array:
    return np.expand_dims(x, tuple(axes.tolist()))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _divide,
    "Mod": np.mod,
    "And": np.logical_and,
    "Or": np.logical_or,
    "IsNaN": np.isnan,
    "IsInf": np.isinf,
    "Floor": np.floor,
    "Round": np.rint,
    "ArgMax": _arg_max,
    "LabelEncoder": _label_encoder,
    "Pow": np.power,
    "Neg": np.negative,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
    "Sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)).astype(x.dtype),
    "Softplus": lambda x: np.logaddexp(0.0, x).astype(x.dtype),
    "Erf": lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x,
    "Atan": np.arctan,
    "Relu": lambda x: np.maximum(x, 0),
    "Abs": np.abs,
    "Sign": np.sign,
    "Max": np.maximum,
    "Min": np.minimum,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
    "Not": np.logical_not,
    "Where": np.where,
    "Identity": lambda x: x,
    "Cast": lambda x, to: x.astype(DTYPES[to]),
    "MatMul": np.matmul,
    "Gemm": lambda x, W, b: x @ W + b,
    "Transpose": lambda x, perm: np.transpose(x, perm),
    "ReduceSum": _reduced(np.sum),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "Concat": lambda *xs, axis: np.concatenate(xs, axis),
    "Pad": _pad,
    "Slice": _slice,
    "Gather": _gather,
    "Reshape": _reshape,
    "Expand": lambda x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist()))),
    "Shape": lambda x: np.array(x.shape, np.int64),
    "Range": lambda start, end, step: np.arange(start, end, step),
    "Squeeze": np.squeeze,
    "Unsqueeze": _unsqueeze,
}
