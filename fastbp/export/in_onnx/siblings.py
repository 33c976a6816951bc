"""Derivatives of a model as further ONNX files, as CasADi 3.8 looks for them beside `f.onnx`.

    file               inputs beside those of f                outputs
    jac_f.onnx                                                 jac_y_x       ∂y/∂x, y and x column by column
    fwd_f.onnx         fwd_x                                   fwd_y         J fwd_x
    adj_f.onnx         adj_y                                   adj_x         Jᵀ adj_y
    fwd_adj_f.onnx     adj_y, fwd_x, fwd_adj_y                 fwd_adj_x     of adj_f: products with Hessians
    adj_adj_f.onnx     adj_y, adj2_adj_x                       adj2_x, adj2_adj_y

Directions stand side by side: fwd_x is (rows, directions times the width of x), the first direction in front. Of a
sibling's sibling the directions of the outer derivative are blocks of those of the inner one. Inside, each kind of
directions has an axis of its own, behind that of rows, the outer kind first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fastbp.autodiff.walk import pull, push
from fastbp.errors import ConfigError
from fastbp.export.gated import Gated
from fastbp.export.in_onnx.gates import Value, Writing
from fastbp.export.in_onnx.graph import Dimension, OnnxGraph
from fastbp.export.onnx_file import ROWS, add_codes, size_of

PRODUCTS = (("fwd",), ("adj",), ("adj", "fwd"), ("adj", "adj"))  # derivatives of derivatives, the inner one first
MODES = ("jac", *("_".join(reversed(modes)) for modes in PRODUCTS))  # what stands before the names of files


@dataclass(frozen=True)
class Port:
    """An input or an output of a derivative: its node, and the kinds of directions that it has one of for each."""

    name: str
    number: int
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derivative:
    """What goes in, what may be differentiated of it, and what comes out."""

    of: Gated
    inputs: tuple[Port, ...]
    moving: tuple[Port, ...]
    outputs: tuple[Port, ...]
    kinds: tuple[str, ...] = ()  # of directions, the outer one first


def siblings_of(of: Gated, opset: int, name: str) -> dict[str, bytes]:
    """The contents of the files beside that of a model: of each what stands before its name."""
    jacobian, *products = MODES
    files = {jacobian: jacobian_file(of, opset, f"{jacobian}_{name}")}
    for prefix, modes in zip(products, PRODUCTS, strict=True):
        files[prefix] = product_file(of, modes, opset, f"{prefix}_{name}")
    return files


def product_file(of: Gated, modes: Sequence[str], opset: int, name: str) -> bytes:
    """Products with derivatives: those of the first mode, and of each of the others those of what was there before."""
    derivative = _primal(of)
    for mode in modes:
        derivative = DERIVED[mode](derivative)
    return _File(derivative, opset, name).to_bytes()


def _primal(of: Gated) -> Derivative:
    inputs = tuple(Port(name, number) for name, number in of.inputs.items())
    moving = tuple(port for port in inputs if not of.only_codes(port.name))
    for port in moving:
        if of.coded(port.name):
            must = f"must be False, as `{port.name}` has columns of codes, which have no derivatives, beside numbers"
            raise ConfigError("jacobian", must, "`True`", hint="codes and numbers may be an `fb.Input` each")
    if not moving:
        raise ConfigError("jacobian", "must be False, as all inputs are codes, which have no derivatives", "`True`")
    outputs = tuple(Port(name, number) for name, number in of.outputs.items())
    return Derivative(of, inputs, moving, outputs)


def _kind(mode: str, before: tuple[str, ...]) -> str:
    """What directions are called: nfwd, and nfwd2 where a derivative of that mode is differentiated so again."""
    count = sum(kind.startswith(f"n{mode}") for kind in before) + 1
    return f"n{mode}" if count == 1 else f"n{mode}{count}"


def _forward(d: Derivative) -> Derivative:
    kind, gates = _kind("fwd", d.kinds), d.of.gates
    seeds = tuple(
        Port(f"{kind[1:]}_{port.name}", gates.argument(gates.shape(port.number)), (kind, *port.kinds))
        for port in d.moving
    )
    tangents = {port.number: seed.number for port, seed in zip(d.moving, seeds, strict=True)}
    found = push(gates, [port.number for port in d.outputs], tangents)
    outputs = tuple(
        Port(f"{kind[1:]}_{port.name}", number, (kind, *port.kinds))
        for port, number in zip(d.outputs, found, strict=True)
    )
    return Derivative(d.of, (*d.inputs, *seeds), (*d.moving, *seeds), outputs, (kind, *d.kinds))


def _adjoint(d: Derivative) -> Derivative:
    kind, gates = _kind("adj", d.kinds), d.of.gates
    seeds = tuple(
        Port(f"{kind[1:]}_{port.name}", gates.argument(gates.shape(port.number)), (kind, *port.kinds))
        for port in d.outputs
    )
    cotangents = [(port.number, seed.number) for port, seed in zip(d.outputs, seeds, strict=True)]
    found = pull(gates, cotangents, [port.number for port in d.moving])
    outputs = tuple(
        Port(f"{kind[1:]}_{port.name}", number, (kind, *port.kinds))
        for port, number in zip(d.moving, found, strict=True)
    )
    return Derivative(d.of, (*d.inputs, *seeds), (*d.moving, *seeds), outputs, (kind, *d.kinds))


DERIVED: dict[str, Callable[[Derivative], Derivative]] = {"fwd": _forward, "adj": _adjoint}


@dataclass
class _File:
    """Writes a derivative."""

    of: Derivative
    opset: int
    name: str
    to: Writing = field(init=False)

    def __post_init__(self) -> None:
        graph = OnnxGraph(self.name, self.opset)
        names = [port.name for port in (*self.of.inputs, *self.of.outputs)]
        for name in names:
            if names.count(name) > 1:
                must = f"must be False, as an input is called `{name}`, which a direction would be"
                raise ConfigError("jacobian", must, "`True`")
        graph.reserve(*names)
        self.to = Writing(graph, self.of.of.gates, 1 + len(self.of.kinds), self.of.of.names)

    def to_bytes(self) -> bytes:
        for port in self.of.inputs:
            self.input(port)
        add_codes(self.to, self.of.of)
        self.to.write(port.number for port in self.of.outputs)
        for port in self.of.outputs:
            self.output(port)
        return self.to.onnx.to_bytes()

    def axis(self, kind: str) -> int:
        """Where directions of a kind stand."""
        return 1 + self.of.kinds.index(kind)

    def shape(self, port: Port) -> list[Dimension]:
        """Of an input or output of the file."""
        width = self.to.width(port.number)
        packed = "*".join([*port.kinds, *([str(width)] if width > 1 else [])])
        return [ROWS, packed if port.kinds else width]

    def numbers(self, *numbers: int) -> str:
        """A constant list of whole numbers."""
        return self.to.onnx.constant(np.array(numbers, np.int64), "numbers")

    def whole(self, number: int) -> str:
        """A constant whole number."""
        return self.to.onnx.constant(np.array(number, np.int64), "number")

    def input(self, port: Port) -> None:
        """An input of the file with an axis for each kind of directions."""
        to, gates = self.to, self.to.gates
        codes = self.of.of.only_codes(port.name) if port.name in self.of.of.inputs else False
        to.onnx.input(port.name, np.int64 if codes else gates.dtype, self.shape(port))
        if codes:
            return
        if not to.sizes:
            to.sizes[0] = partial(size_of, to, port.name, 0)
        width = to.width(port.number)
        sizes = [self.numbers(0)]
        for kind in self.of.kinds:
            if kind not in port.kinds:
                sizes.append(self.numbers(1))
            elif self.axis(kind) in to.sizes:
                sizes.append(to.sizes[self.axis(kind)]())
            else:
                sizes.append(self.numbers(-1))
        sizes.append(self.numbers(width))
        name = to.onnx.node("Reshape", port.name, to.onnx.node("Concat", *sizes, axis=0))
        for kind in port.kinds:
            axis = self.axis(kind)
            to.sizes.setdefault(axis, partial(size_of, to, name, axis))
        leads = frozenset({0, *(self.axis(kind) for kind in port.kinds)})
        to.values[port.number] = Value(name, leads, width)

    def output(self, port: Port) -> None:
        """An output of the file: directions that it has none of are summed over, the others side by side."""
        to = self.to
        wanted = frozenset({0, *(self.axis(kind) for kind in port.kinds)})
        name, more = to.wide(port.number, wanted), to.value(port.number).leads - wanted
        if more:
            name = to.onnx.node("ReduceSum", name, self.numbers(*sorted(more)), keepdims=1)
        to.onnx.node("Reshape", name, self.numbers(0, -1), name=port.name)
        to.onnx.output(port.name, to.gates.dtype, self.shape(port))


def jacobian_file(of: Gated, opset: int, name: str) -> bytes:
    """∂y/∂x of each output and input: unit directions, of which there are fewer."""
    primal = _primal(of)
    gates = of.gates
    columns = sum(gates.shape(port.number)[1] for port in primal.moving)
    forward = columns < sum(gates.shape(port.number)[1] for port in primal.outputs)
    moving, still = (primal.moving, primal.outputs) if forward else (primal.outputs, primal.moving)
    file = _File(replace(primal, kinds=("units",)), opset, name)
    to = file.to
    for port in primal.inputs:
        file.input(port)
    add_codes(to, of)
    for port in moving:
        width = gates.shape(port.number)[1]
        seed = gates.argument((1, width))
        units = to.onnx.constant(np.eye(width, dtype=gates.dtype)[None], "units")
        to.values[seed] = Value(units, frozenset({1}), width)
        to.sizes[1] = partial(file.numbers, width)
        if forward:
            found = push(gates, [other.number for other in still], {port.number: seed})
        else:
            found = pull(gates, [(port.number, seed)], [other.number for other in still])
        to.write(found)
        for other, number in zip(still, found, strict=True):
            out, into = (other, port) if forward else (port, other)
            _matrix(file, f"jac_{out.name}_{into.name}", number, out, into, forward)
    outputs = {f"jac_{out.name}_{into.name}": (out, into) for out in primal.outputs for into in primal.moving}
    for called, (out, into) in outputs.items():
        shape = [_times(ROWS, to.width(port.number)) for port in (out, into)]
        to.onnx.output(called, gates.dtype, shape)
    return to.onnx.to_bytes()


def _matrix(file: _File, called: str, number: int, out: Port, into: Port, forward: bool) -> None:
    """One block of a Jacobian: a matrix that has those of the rows apart, as outputs depend on their own row only."""
    to = file.to
    node, numbers = to.onnx.node, file.numbers
    rows = to.sizes[0]()
    found = to.wide(number, frozenset({0, 1}))  # rows, units, the other
    found = node("Transpose", found, perm=[2, 0, 1] if forward else [1, 0, 2])  # outputs, rows, inputs
    counted = node("Range", file.whole(0), node("Squeeze", rows), file.whole(1))
    same = node("Equal", node("Reshape", counted, numbers(-1, 1)), node("Reshape", counted, numbers(1, -1)))
    one = numbers(1)
    apart = node("Reshape", node("Cast", same, to=to.type), node("Concat", one, rows, one, rows, axis=0))
    found = node("Mul", node("Unsqueeze", found, numbers(3)), apart)  # outputs, rows, inputs, rows
    shape = [node("Mul", rows, numbers(to.width(port.number))) for port in (out, into)]
    node("Reshape", found, node("Concat", *shape, axis=0), name=called)


def _times(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name}*{factor}"
