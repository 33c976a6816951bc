"""A model in gates of `fastbp.autodiff`, from which ONNX and JavaScript are written.

One row goes through, (1, width): what depends on it has as many rows as a file is given, what does not is a constant.
A row of zeros with a one stands for the code of an embedded column; only products with tables read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from fastbp.autodiff.graph import Graph as Gates
from fastbp.autodiff.tracer import Tracer
from fastbp.errors import ConfigError
from fastbp.export.model import Member, Model
from fastbp.export.together import logits, said, together
from fastbp.model.traced import predicted

Columns = list[tuple[str, int]]  # of each column of a network's rows, the input that has it and its place there


@dataclass
class Gated:
    """The gates of a model.

    Attributes
    ----------
    gates : Graph
    inputs : dict of str to int
        The argument of each named input, (1, width).
    codes : dict of int to (str, int)
        Arguments that are codes, (1, categories), and of each the input and the column that has it.
    outputs : dict of str to int
        The nodes that are predicted.
    names : dict of int to str
        Constants that are parameters.
    """

    gates: Gates
    inputs: dict[str, int] = field(default_factory=dict)
    codes: dict[int, tuple[str, int]] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def coded(self, name: str) -> bool:
        """Whether an input has columns of codes."""
        return any(own == name for own, _ in self.codes.values())

    def only_codes(self, name: str) -> bool:
        """Whether all columns of an input are codes."""
        width = self.gates.shape(self.inputs[name])[1]
        return len({at for own, at in self.codes.values() if own == name}) == width


def gated(model: Model) -> Gated:
    """What a model predicts of its networks' inputs, whatever prepares these."""
    made = Making(Gated(Gates(model.dtype.name)))
    columns = made.inputs(model.inputs)
    row = made.row(columns)
    each = [made.outputs(model, i, row, columns) for i in range(len(model.members))]
    found = [one.means for one in together(model, each)] if model.joined else each[0]
    made.of.outputs = {name: out.number for (name, _), out in zip(model.outputs, found, strict=True)}
    return made.of


def gated_of_tables(model: Model, scores: bool = False) -> Gated:
    """What a model with recipes says of rows that these have prepared.

    Inputs are `matrix0` and so on, one for each recipe. Outputs are `means`, probabilities of all classes (two of two)
    or labels, or numbers as the network has them, and `deviations` where it predicts such; and with `scores` the logits
    of classes or labels.
    """
    if model.loss is None or len(model.net.graph.heads) > 1:
        raise ConfigError("model", "must have one output and a loss to predict in the terms of a table")
    made = Making(Gated(Gates(model.dtype.name)))
    ways = [made.inputs([(f"matrix{way}", one.inputs.width)]) for way, one in enumerate(model.recipes)]
    rows = [made.row(columns) for columns in ways]
    each = [made.outputs(model, i, rows[one.way], ways[one.way]) for i, one in enumerate(model.members)]
    (found,) = together(model, each) if model.joined else [said(model.loss, each[0][0])]
    made.of.outputs = {"means": found.means.number}
    if found.deviations is not None:
        made.of.outputs["deviations"] = found.deviations.number
    if scores:
        made.of.outputs["scores"] = (logits(model.loss, found.means) if model.joined else each[0][0]).number
    return made.of


class Making:
    """Adds inputs and networks to gates."""

    def __init__(self, of: Gated) -> None:
        self.of = of
        self._chosen: dict[tuple[str, int, int], Tracer] = {}

    def inputs(self, parts: Any) -> Columns:
        """Arguments for named inputs; returns the columns of a row that has them side by side."""
        for name, width in parts:
            self.of.inputs[name] = self.of.gates.argument((1, width))
        return [(name, at) for name, width in parts for at in range(width)]

    def row(self, columns: Columns) -> Any:
        """The inputs that have these columns, side by side."""
        names = dict.fromkeys(name for name, _ in columns)
        parts: list[Any] = [Tracer(self.of.gates, self.of.inputs[name]) for name in names]
        return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def outputs(self, model: Model, which: int, row: Any, columns: Columns) -> list[Any]:
        """The outputs of one of the members for a row, of which columns that are codes are these."""
        member = model.members[which]
        values = self._constants(member, f"{which}/" if len(model.members) > 1 else "")
        graph = member.net.graph
        chosen = {column: self._code(*columns[column], count) for column, count in graph.codes()}
        return predicted(graph, values, row, chosen)

    def _code(self, name: str, at: int, count: int) -> Tracer:
        key = name, at, count
        if key not in self._chosen:
            number = self.of.gates.argument((1, count))
            self.of.codes[number] = name, at
            self._chosen[key] = Tracer(self.of.gates, number)
        return self._chosen[key]

    def _constants(self, member: Member, prefix: str) -> dict[str, Any]:
        """Parameters and running statistics; matrices of a stack stand below each other."""
        found = {}
        for name, array in member.arrays.items():
            flat = array.reshape(prod(array.shape[:-1]), array.shape[-1]) if array.ndim > 2 else array
            number = self.of.gates.constant(flat)
            self.of.names.setdefault(number, prefix + name)
            found[name] = Tracer(self.of.gates, number)
        return found
