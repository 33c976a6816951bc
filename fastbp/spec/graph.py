"""The network as data: a static graph of layers, its shapes inferred and checked once.

Nodes are in topological order, so there are no cycles.
`chain` makes the graph of a list of layers, `wired` that of signals (`signals.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from fastbp.engine.blocks import Stack
from fastbp.errors import ConfigError, ConfigTypeError, ShapeError, brief
from fastbp.spec.catalogue import activation_named, is_layer
from fastbp.spec.checks import whole
from fastbp.spec.gates import Concat, Slice
from fastbp.spec.layers import Embedding, Layer, Linear
from fastbp.spec.members import AdaptedLinear, MemberLinear, Members, members_at
from fastbp.spec.signals import Signal, called

INPUT = -1


@dataclass(frozen=True)
class Node:
    """One layer in its place.

    Attributes
    ----------
    sources : the indices of the nodes it reads, INPUT for the rows of X
    widths : features of each of them
    home : name of the node that owns its parameters: its own, unless they are shared
    members : how many members it is computed for, 1 in front of `Members`
    member : which of them this node is of, where they are apart: see `apart.py`
    """

    index: int
    layer: Layer
    sources: tuple[int, ...]
    widths: tuple[int, ...]
    outputs: int
    name: str
    home: str
    members: int = 1
    member: int = 0

    @property
    def inputs(self) -> int:
        """Features that go in, of the first source."""
        return self.widths[0]

    @property
    def shares(self) -> bool:
        """Whether it shares the parameters of an earlier node."""
        return self.home != self.name

    def parameter(self, part: str) -> str:
        """The name of one of its parameters."""
        return f"{self.home}.{part}"

    @property
    def count(self) -> int:
        """How many parameters it has, of all members; none that are another's."""
        draws = {} if self.shares else self.layer.draws(self.inputs)
        return sum(prod(self.shape(part, shape)) for part, (_, shape, _, _) in draws.items())

    def member_of(self, part: str) -> int:
        """Which of a stack it reads: its member's, of a parameter of which each member has its own."""
        return self.member if part in self.layer.own else 0

    def shape(self, part: str, each: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a parameter of which `each` is one's."""
        return Stack((self.members, *each)) if part in self.layer.own else each


@dataclass(frozen=True)
class Graph:
    """Nodes in order.

    Attributes
    ----------
    inputs : features of X
    heads : the nodes whose outputs are the network's; if there are several, the last node joins them
    parts : name (or "") and features of each input; X has them side by side
    """

    inputs: int
    nodes: tuple[Node, ...]
    heads: tuple[int, ...]
    parts: tuple[tuple[str | None, int], ...]

    @property
    def outputs(self) -> int:
        return self.nodes[-1].outputs

    @property
    def splits(self) -> tuple[int, ...]:
        """Features of each head."""
        return tuple(self.nodes[head].outputs for head in self.heads)

    @property
    def ends(self) -> tuple[Layer, ...]:
        """The last layer of each output."""
        return tuple(self.nodes[head].layer for head in self.heads)

    def names(self) -> list[str]:
        """Those of its nodes."""
        return [node.name for node in self.nodes]

    def readers(self) -> list[int]:
        """The number of readers of each node's output."""
        found = [0] * len(self.nodes)
        for node in self.nodes:
            for source in node.sources:
                if source != INPUT:
                    found[source] += 1
        return found

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and natural shape of every parameter, in order."""
        out: dict[str, tuple[int, ...]] = {}
        for node in self.nodes:
            for part, (_, shape, _, _) in node.layer.draws(node.inputs).items():
                out.setdefault(node.parameter(part), node.shape(part, shape))
        return out

    @property
    def members(self) -> Members | None:
        """The layer that makes several members of this network, if there is one."""
        return next((node.layer for node in self.nodes if isinstance(node.layer, Members)), None)

    def named(self, name: str) -> list[str]:
        """Parameters that a name stands for: one of them, those of a layer, or of all layers of a kind, such as
        "scale" or "linear.bias".
        """
        found = [known for known in self.parameters() if name in (known, known.split(".")[0])]
        kind, _, part = name.partition(".")
        parts = [
            node.parameter(own)
            for node in self.nodes
            for own in node.layer.draws(node.inputs)
            if not found and node.layer.kind == kind and part in ("", own)
        ]
        return found or list(dict.fromkeys(parts))

    def states(self) -> dict[str, tuple[tuple[int, ...], float]]:
        """Shape and initial value of all running statistics."""
        out: dict[str, tuple[tuple[int, ...], float]] = {}
        for node in self.nodes:
            for part, state in node.layer.states(node.inputs).items():
                out[node.parameter(part)] = state
        return out

    def decaying(self) -> set[str]:
        """Parameters with weight decay: matrices and tables, no biases, norms or scales."""
        return {node.parameter(part) for node in self.nodes for part in node.layer.decays}

    def hidden(self) -> set[str]:
        """Matrices of linear layers that others stand behind: none of outputs, and none that is a member's own."""
        behind = [False] * len(self.nodes)
        found: set[str] = set()
        last: set[str] = set()
        for node in reversed(self.nodes):
            shared = isinstance(node.layer, Linear | AdaptedLinear)
            linear = shared or isinstance(node.layer, MemberLinear)
            for source in node.sources:
                if source != INPUT and (linear or behind[node.index]):
                    behind[source] = True
            if shared:
                (found if behind[node.index] else last).add(node.parameter("weight"))
        return found - last

    def check_dtype(self, dtype: Any) -> None:
        """Refuse settings of layers that a network's numbers cannot hold."""
        for node in self.nodes:
            node.layer.check_dtype(dtype)

    def codes(self) -> tuple[tuple[int, int], ...]:
        """Columns of X that must hold category codes, and how many categories each has."""
        found = []
        for node in self.nodes:
            if isinstance(node.layer, Embedding):
                first = column_of(self.nodes, node.sources[0])
                assert first is not None
                found += [(first + column, count) for column, (count, _) in node.layer.columns.items()]
        return tuple(found)


def column_of(nodes: Sequence[Node], source: int) -> int | None:
    """The first column in X of a signal that is a slice of X; None if it is computed."""
    first = 0
    while source != INPUT:
        layer = nodes[source].layer
        if not isinstance(layer, Slice):
            return None
        first += layer.start
        source = nodes[source].sources[0]
    return first


class Builder:
    """Adds nodes one by one; every node comes after its sources."""

    def __init__(self, parts: Sequence[tuple[str | None, int]]) -> None:
        self.parts = tuple(parts)
        self.inputs = sum(width for _, width in parts)
        self.nodes: list[Node] = []
        self._named: dict[str, Node] = {}

    def width(self, source: int) -> int:
        return self.inputs if source == INPUT else self.nodes[source].outputs

    def title(self, source: int) -> str:
        if source == INPUT:
            return "the inputs"
        node = self.nodes[source]
        return f"`{node.name}`, {node.layer}"

    def add(self, layer: Layer, sources: Iterable[int], name: str, home: str | None = None) -> int:
        """Add a node; returns its index."""
        index, sources = len(self.nodes), tuple(sources)
        widths = tuple(self.width(s) for s in sources)
        outputs = layer.of(widths, [self.title(s) for s in sources])
        if isinstance(layer, Embedding) and column_of(self.nodes, sources[0]) is None:
            raise ConfigError(f"layers[{index}]", "is an Embedding, which must be the first layer")
        counts = [1 if s == INPUT else self.nodes[s].members for s in sources]
        members = members_at(f"layers[{index}]", layer, counts, widths[0], [node.layer for node in self.nodes])
        if name in self._named:
            raise ConfigError("name", "must be unique", f"`{name}` for two layers")
        if home is not None:
            self._check_shared(layer, widths, self._named[home])
        node = self._named[name] = Node(index, layer, sources, widths, outputs, name, home or name, members)
        self.nodes.append(node)
        return index

    def _check_shared(self, layer: Layer, widths: tuple[int, ...], first: Node) -> None:
        if isinstance(layer, Embedding) or layer.states(widths[0]):
            why = "reads the rows of the data" if isinstance(layer, Embedding) else "keeps statistics of its rows"
            raise ConfigError(type(layer).__name__, f"must be used once, as it {why}")
        if widths != first.widths:
            must = f"`{first.name}`, {layer}, must have signals of the same width in every use"
            raise ShapeError(None, must, f"`{first.inputs}` and `{widths[0]}`")

    def done(self, heads: Sequence[int]) -> Graph:
        if any(isinstance(node.layer, Members) for node in self.nodes):
            if len(heads) > 1:
                raise ConfigError("outputs", "must be one of a network with `Members`", f"`{len(heads)}`")
            if self.nodes[heads[0]].members == 1:
                raise ConfigError("outputs", "must come from behind `Members`")
        if len(heads) > 1:
            self.add(Concat(), heads, "outputs[:]")  # a name that users cannot give
        return Graph(self.inputs, tuple(self.nodes), tuple(heads), self.parts)


def graph_of(layers: Any, inputs: Any, outputs: Any) -> Graph:
    """The graph of a list of layers, or of all between input and output signals."""
    if outputs is None:
        if layers is None and isinstance(inputs, Signal):
            raise ConfigError("outputs", "must be given with an `fb.Input`")
        return chain(layers, inputs)
    if layers is not None:
        raise ConfigError("layers", "must not be given together with `outputs`, which define the layers")
    return wired(inputs, outputs)


def chain(layers: Any, inputs: Any) -> Graph:
    """Graph of layers that each read the one before."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        hint = "`fb.Network(inputs=x, outputs=h)` takes signals" if isinstance(layers, Signal) else None
        raise ConfigTypeError("layers", "must be a list of layers", f"`{brief(layers)}`", hint)
    if not layers:
        raise ConfigError("layers", "must hold at least one layer", "`[]`")
    builder = Builder([(None, whole("inputs", inputs, 1))])
    for index, layer in enumerate(layers):
        if isinstance(layer, str):
            layer = activation_named(f"layers[{index}]", layer)
        if not is_layer(layer):
            hint = ""
            if isinstance(layer, type) and issubclass(layer, Layer):
                hint = f"did you mean `{layer.__name__}()`?"
            raise ConfigTypeError(
                f"layers[{index}]", "must be a layer such as `fb.Linear(10)`", f"`{brief(layer)}`", hint
            )
        builder.add(layer, (index - 1 if index else INPUT,), str(index))
    return builder.done([len(layers) - 1])


def wired(inputs: Any, outputs: Any) -> Graph:
    """Graph of all between signals."""
    ins, outs = _listed("inputs", inputs), _listed("outputs", outputs)
    for i, signal in enumerate(ins):
        if signal.layer is not None:
            raise ConfigError(f"inputs[{i}]", "must be an `fb.Input`", f"the output of {called(signal)}")
    if len({id(s) for s in ins}) < len(ins):
        raise ConfigError("inputs", "must have every input only once")
    given = [s.name or f"input{i}" for i, s in enumerate(ins)]
    if len(set(given)) < len(given):
        raise ConfigError("inputs", "must have different names", f"`{', '.join(given)}`")
    for i, signal in enumerate(outs):
        if signal.layer is None:
            raise ConfigError(f"outputs[{i}]", "must be the output of a layer", f"{called(signal)}")
    builder = Builder([(s.name, s.features) for s in ins])
    at: dict[int, int] = {}
    first = 0
    for i, signal in enumerate(ins):
        at[id(signal)] = INPUT
        if len(ins) > 1:
            piece = Slice(first, first + signal.features)
            at[id(signal)] = builder.add(piece, (INPUT,), f"inputs[{i}]")
            first += signal.features
    homes: dict[int, str] = {}
    signals = _between(ins, outs)
    names = _names_of_learners(signals)
    for number, signal in enumerate(signals):
        layer = signal.layer
        assert layer is not None
        home = homes.get(id(layer))
        name = str(number)
        if home is None:
            name = names.get(id(layer), signal.name) or name
        at[id(signal)] = builder.add(layer, [at[id(s)] for s in signal.sources], name, home)
        if _learns(signal):
            homes.setdefault(id(layer), name)
    return builder.done([at[id(s)] for s in outs])


def _learns(signal: Signal) -> bool:
    """Whether its layer has parameters or statistics, which another call shares."""
    width, layer = signal.sources[0].features, signal.layer
    return layer is not None and bool(layer.draws(width) or layer.states(width))


def _names_of_learners(signals: list[Signal]) -> dict[int, str | None]:
    """The name of each layer that learns, by id, from whichever of its calls gave one."""
    names: dict[int, str | None] = {}
    for signal in signals:
        if _learns(signal):
            known = names.get(id(signal.layer))
            if known is not None and signal.name not in (None, known):
                raise ConfigError(
                    "name", "must be the same in all uses of a shared layer", f"`{known}` and `{signal.name}`"
                )
            names[id(signal.layer)] = known or signal.name
    return names


def _listed(where: str, value: Any) -> list[Signal]:
    """One signal or several."""
    signals = list(value) if isinstance(value, list | tuple) else [value]
    for i, signal in enumerate(signals):
        if not isinstance(signal, Signal):
            place = where if signals == [value] else f"{where}[{i}]"
            raise ConfigTypeError(place, "must be a signal such as `fb.Input(64)`", f"`{brief(signal)}`")
    if not signals:
        raise ConfigError(where, "must have at least one signal", "`[]`")
    return signals


def _between(ins: list[Signal], outs: list[Signal]) -> list[Signal]:
    """The signals that the outputs depend on, in the order of creation."""
    known, found, stack = {id(s) for s in ins}, {}, list(outs)
    while stack:
        signal = stack.pop()
        if id(signal) in known:
            continue
        if signal.layer is None:
            raise ConfigError("inputs", f"must have every input that outputs depend on, but lack {called(signal)}")
        known.add(id(signal))
        found[signal.serial] = signal
        stack += signal.sources
    return [found[serial] for serial in sorted(found)]
