"""A model with recipes as an ONNX file: raw columns in, predictions in the terms of the table out."""

from __future__ import annotations

import json
from collections.abc import Collection

import numpy as np

from fastbp.export.gated import Gated, gated_of_tables
from fastbp.export.model import Model
from fastbp.export.onnx_gates import Value, Writing
from fastbp.export.onnx_graph import OnnxGraph
from fastbp.export.onnx_outcome import outcome
from fastbp.export.onnx_tables import inputs
from fastbp.export.raw import Tables, tables_of

ROWS = "rows"
KINDS = {"number": "float64", "text": "object", "moment": "int64"}  # types of columns; those of one array are float32


def tables_file(model: Model, opset: int, name: str, numbers: Collection[str] = ()) -> bytes:
    """A model with recipes.

    Each raw column is an input (rows, 1) of its name: float64 with NaN for what is missing, texts with empty ones, or
    for dates int64, microseconds since 1970. The columns of an array are one input, float32. Outputs are `label` and
    `probabilities`, or `predictions`.
    """
    tables = tables_of(model, numbers)
    of = gated_of_tables(model)
    graph = OnnxGraph(name, opset)
    names = {raw.name: raw.name for raw in tables.raws}
    graph.reserve(*names, "label", "probabilities", "predictions", "deviations", "low", "high")
    for raw in tables.raws:
        graph.input(raw.name, "float32" if tables.array else KINDS[raw.kind], [ROWS, raw.width])
    if tables.array:
        (raw,) = tables.raws
        names[raw.name] = graph.node("Cast", raw.name, to=11)
    matrices = [inputs(graph, way, names) for way in tables.ways]
    to = Writing(graph, of.gates, 1, of.names)
    to.sizes[0] = lambda: _rows_of(graph, tables)
    for i, (matrix, way) in enumerate(zip(matrices, tables.ways, strict=True)):
        to.values[of.inputs[f"matrix{i}"]] = Value(matrix, frozenset({0}), way.width)
    _codes(to, of, matrices)
    to.write(of.outputs.values())
    found = {key: to.wide(number, frozenset({0})) for key, number in of.outputs.items()}
    kind = "float32" if tables.array else "float64"
    said = outcome(
        graph, tables.outcome, found["means"], model.dtype.name, found.get("deviations", ""), model.classes, kind
    )
    for key, one in said.items():
        out = _free(graph, key, names)
        graph.node("Identity", one.tensor, name=out)
        graph.output(out, one.dtype, [ROWS, one.columns] if one.columns else [ROWS])
    graph.notes["names"] = json.dumps([str(one) for one in model.classes or tables.outcome.names], ensure_ascii=False)
    return graph.to_bytes()


def _free(graph: OnnxGraph, wanted: str, names: Collection[str]) -> str:
    """The name of an output, or another where a column has it."""
    return graph.free(f"predicted {wanted}") if wanted in names else wanted


def _rows_of(graph: OnnxGraph, tables: Tables) -> str:
    shape = graph.node("Shape", tables.raws[0].name)
    return graph.node("Gather", shape, graph.constant(np.array([0])), axis=0)


def _codes(to: Writing, of: Gated, matrices: list[str]) -> None:
    """The columns of codes of prepared rows, as whole numbers."""
    for number, (name, at) in of.codes.items():
        matrix = matrices[int(name.removeprefix("matrix"))]
        column = to.onnx.node("Gather", matrix, to.onnx.constant(np.array(at)), axis=1)
        to.codes[number] = to.onnx.node("Cast", column, to=7)
