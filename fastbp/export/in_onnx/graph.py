"""An ONNX model as it is written: nodes and constants are added one by one, then all becomes bytes.

Numbers of fields are those of ONNX's `onnx.proto`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError, whole_number
from fastbp.export.in_onnx.protobuf import framed, real, text, whole, wholes

Array = NDArray[Any]
Dimension = int | str  # its size, or the name of one that is not known

TYPES = {"float32": 1, "int32": 6, "int64": 7, "object": 8, "bool": 9, "float64": 11}  # "object" are texts
OLDEST, DEFAULT, NEWEST = 13, 17, 28
LARGEST = 2**31 - 1  # bytes of a message


def opset_of(value: Any) -> int:
    """A version of ONNX's operators that files may ask for."""
    number = whole_number("opset", value)
    if not OLDEST <= number <= NEWEST:
        raise ConfigError("opset", f"must be from {OLDEST} to {NEWEST}", f"`{number}`")
    return number


def type_of(dtype: Any) -> int:
    """The number of a type of elements."""
    return TYPES[np.dtype(dtype).name]


@dataclass
class OnnxGraph:
    """Inputs, nodes, constants and outputs.

    Examples
    --------
    >>> graph = OnnxGraph("twice", opset=17)
    >>> x = graph.input("x", "float32", ["rows", 3])
    >>> graph.output(graph.node("Add", x, x, name="y"), "float32", ["rows", 3])
    >>> len(graph.to_bytes()) < 150
    True
    """

    name: str
    opset: int = DEFAULT
    nodes: list[bytes] = field(default_factory=list)
    constants: dict[str, bytes] = field(default_factory=dict)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # what the file says about itself, by name
    domains: dict[str, int] = field(default_factory=dict)  # of operators beside ONNX's own, with their versions
    _taken: set[str] = field(default_factory=set)
    _known: dict[Any, str] = field(default_factory=dict)

    def input(self, name: str, dtype: Any, shape: Sequence[Dimension]) -> str:
        """Add an input; returns its name."""
        self._taken.add(name)
        self.inputs.append(_described(name, type_of(dtype), shape))
        return name

    def output(self, name: str, dtype: Any, shape: Sequence[Dimension]) -> None:
        """Have the value of this name be an output."""
        self.outputs.append(_described(name, type_of(dtype), shape))

    def reserve(self, *names: str) -> None:
        """Keep names for values that are named later."""
        self._taken.update(names)

    def free(self, wanted: str) -> str:
        """A name that no value has: this one, or it with a number."""
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name

    def constant(self, value: Any, name: str = "constant") -> str:
        """The name of a constant array; equal ones are one. Arrays of objects are texts."""
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        texts = array.dtype.kind == "O"
        key = array.dtype.str, array.shape, tuple(array.ravel().tolist()) if texts else array.tobytes()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.free(name)
            self.constants[found] = _tensor(found, array)
        return found

    def node(self, op: str, *inputs: str, name: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, which is returned; `name` is the output's, as it is or as it was reserved.

        Nodes without a name that are equal are one.
        """
        key = op, inputs, domain, repr(sorted(attributes.items()))
        if name is None and key in self._known:
            return self._known[key]
        out = self.free(op.lower()) if name is None else name
        self.nodes_of(op, inputs, (out,), domain, **attributes)
        self._known.setdefault(key, out)
        return out

    def nodes_of(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attributes: Any
    ) -> None:
        """Add a node with these outputs."""
        content = [text(1, name) for name in inputs] + [text(2, name) for name in outputs]
        content += [text(3, outputs[0]), text(4, op)]
        content += [framed(5, _attribute(name, value)) for name, value in attributes.items()]
        if domain:
            content.append(text(7, domain))
        self.nodes.append(b"".join(content))

    def to_bytes(self) -> bytes:
        """The file's content."""
        graph = [framed(1, node) for node in self.nodes] + [text(2, self.name)]
        graph += [framed(5, constant) for constant in self.constants.values()]
        graph += [framed(11, one) for one in self.inputs] + [framed(12, one) for one in self.outputs]
        if (size := sum(map(len, graph))) > LARGEST - 2**16:
            raise ConfigError("model", "must fit into 2 GiB, which ONNX files cannot exceed", f"{size / 2**30:.1f} GiB")
        model = [whole(1, 7 if self.opset < 15 else 8), text(2, "fastbp"), text(3, sys.modules["fastbp"].__version__)]
        model += [framed(7, b"".join(graph))]
        for domain, since in {"": self.opset, **self.domains}.items():
            model.append(framed(8, (text(1, domain) if domain else b"") + whole(2, since)))
        model += [framed(14, text(1, name) + text(2, said)) for name, said in self.notes.items()]
        return b"".join(model)


def _described(name: str, kind: int, shape: Sequence[Dimension]) -> bytes:
    """A `ValueInfoProto`."""
    sizes = b"".join(framed(1, whole(1, d) if isinstance(d, int) else text(2, d)) for d in shape)
    return text(1, name) + framed(2, framed(1, whole(1, kind) + framed(2, sizes)))


def _tensor(name: str, array: Array) -> bytes:
    """A `TensorProto`."""
    head = wholes(1, array.shape) + whole(2, type_of(array.dtype))
    if array.dtype.kind == "O":
        return head + b"".join(text(6, one) for one in array.ravel().tolist()) + text(8, name)
    return head + text(8, name) + framed(9, array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _attribute(name: str, value: Any) -> bytes:
    """An `AttributeProto`, of the type that the value has."""
    head = text(1, name)
    if isinstance(value, np.ndarray):
        return head + framed(5, _tensor("", value)) + whole(20, 4)
    if isinstance(value, str):
        return head + text(4, value) + whole(20, 3)
    if isinstance(value, float):
        return head + real(2, value) + whole(20, 1)
    if isinstance(value, int):
        return head + whole(3, value) + whole(20, 2)
    if all(isinstance(one, str) for one in value):
        return head + b"".join(text(9, one) for one in value) + whole(20, 8)
    if all(isinstance(one, int) for one in value):
        return head + wholes(8, value) + whole(20, 7)
    return head + b"".join(real(7, one) for one in value) + whole(20, 6)
