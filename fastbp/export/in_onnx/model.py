"""A model with recipes as an ONNX file: raw columns in, predictions in the terms of the table out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from fastbp.export.gated import gated_of_tables
from fastbp.export.in_onnx.gates import Value, Writing
from fastbp.export.in_onnx.graph import TYPES, OnnxGraph
from fastbp.export.in_onnx.outcome import Told, outcome
from fastbp.export.in_onnx.tables import inputs
from fastbp.export.model import Model
from fastbp.export.onnx_file import ROWS, size_of
from fastbp.export.raw import Tables, tables_of

KINDS = {"number": "float64", "text": "object", "moment": "int64"}  # types of columns; those of one array are float32


def tables_file(model: Model, opset: int, name: str, numbers: Collection[str] = ()) -> bytes:
    """A model with recipes.

    Each raw column is an input (rows, 1) of its name: float64 with NaN for what is missing, texts with empty ones, or
    for dates int64, microseconds since 1970. The columns of an array are one input, float32. Outputs are `label` and
    `probabilities`, or `predictions`.
    """
    tables = tables_of(model, numbers)
    graph = OnnxGraph(name, opset)
    names = {raw.name: raw.name for raw in tables.raws}
    graph.reserve(*names, "label", "probabilities", "predictions", "deviations", "low", "high")
    for raw in tables.raws:
        graph.input(raw.name, "float32" if tables.array else KINDS[raw.kind], [ROWS, raw.width])
    if tables.array:
        names = {raw: graph.node("Cast", raw, to=TYPES["float64"]) for raw in names}
    said = predictions(graph, model, tables, names, "float32" if tables.array else "float64")
    for key, one in said.items():
        out = graph.free(f"predicted {key}") if key in names else key
        graph.node("Identity", one.tensor, name=out)
        graph.output(out, one.dtype, [ROWS, one.columns] if one.columns else [ROWS])
    graph.notes["names"] = json.dumps([str(one) for one in model.classes or tables.outcome.names], ensure_ascii=False)
    return graph.to_bytes()


def predictions(
    graph: OnnxGraph, model: Model, tables: Tables, names: Mapping[str, str], kind: str, scores: bool = False
) -> dict[str, Told]:
    """What a model with recipes predicts of raw columns, by their tensors; `kind` is the type of predicted numbers.

    With `scores` logits take the place of probabilities.
    """
    of = gated_of_tables(model, scores)
    matrices = [inputs(graph, way, names) for way in tables.ways]
    to = Writing(graph, of.gates, 1, of.names)
    to.sizes[0] = lambda: size_of(to, matrices[0], 0)
    for i, (matrix, way) in enumerate(zip(matrices, tables.ways, strict=True)):
        to.values[of.inputs[f"matrix{i}"]] = Value(matrix, frozenset({0}), way.width)
    for number, (name, at) in of.codes.items():
        column = graph.node("Gather", matrices[int(name.removeprefix("matrix"))], graph.constant(np.array(at)), axis=1)
        to.codes[number] = graph.node("Cast", column, to=TYPES["int64"])
    to.write(of.outputs.values())
    found = {key: to.wide(number, frozenset({0})) for key, number in of.outputs.items()}
    means, deviations = found["means"], found.get("deviations", "")
    told = outcome(graph, tables.outcome, means, model.dtype.name, deviations, model.classes, kind)
    if scores:
        told["probabilities"] = replace(told["probabilities"], tensor=found["scores"])
    return told
