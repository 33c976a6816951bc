"""`fb.export.register_skl2onnx`: pipelines of scikit-learn with estimators of fastbp become ONNX by skl2onnx.

What skl2onnx asks for is a file of its own graph: the estimator is written as for `fb.export.onnx`, and its nodes and
constants are taken over, under names that the rest of the pipeline leaves free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np

from fastbp.errors import ConfigError, DependencyError, visible
from fastbp.export.in_onnx.graph import TYPES, OnnxGraph, opset_of
from fastbp.export.in_onnx.model import predictions
from fastbp.export.in_onnx.outcome import names_of
from fastbp.export.in_onnx.tables import ML
from fastbp.export.model import Model, model_of
from fastbp.export.onnx_file import ROWS
from fastbp.export.raw import Tables, tables_of
from fastbp.export.steps import Raw

NUMERIC = {"FloatTensorType": "float32", "DoubleTensorType": "float64", "Int64TensorType": "int64"}
NUMERIC |= {"Int32TensorType": "int32", "BooleanTensorType": "bool"}
TEXT = "StringTensorType"
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "raw_scores": [False, True],
    "nocl": [False],  # which skl2onnx asks for where it makes maps
}


def register_skl2onnx() -> None:
    """Have skl2onnx convert `MLPClassifier` and `MLPRegressor`, alone and in pipelines.

    Examples
    --------
    >>> import fastbp as fb
    >>> fb.export.register_skl2onnx()  # doctest: +SKIP
    >>> skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})  # doctest: +SKIP
    """
    try:
        skl2onnx = import_module("skl2onnx")
    except ImportError:
        raise DependencyError(
            "`register_skl2onnx` needs skl2onnx, which is not installed", hint="pip install skl2onnx"
        ) from None
    from fastbp.sklearn import MLPClassifier, MLPRegressor

    add = skl2onnx.update_registered_converter
    add(MLPClassifier, "FastbpMLPClassifier", _shapes, _convert, options=OPTIONS)
    add(MLPRegressor, "FastbpMLPRegressor", _shapes, _convert)


def _shapes(operator: Any) -> None:
    """The types of outputs, which skl2onnx asks for before anything is written."""
    data_types = import_module("skl2onnx.common.data_types")
    model = operator.raw_operator
    model._check_fitted()
    wide = any(type(one.type).__name__ == "DoubleTensorType" for one in operator.inputs)
    numbers = data_types.DoubleTensorType if wide else data_types.FloatTensorType
    count = len(model.recipe_.outputs.names)
    if model.recipe_.outputs.task == "numbers":
        operator.outputs[0].type = numbers([None, count])
        return
    text = model.recipe_.outputs.task == "classes" and names_of(model.classes_.tolist()).dtype == object
    label = data_types.StringTensorType if text else data_types.Int64TensorType
    operator.outputs[0].type = label([None, count] if model.recipe_.outputs.task == "labels" else [None])
    operator.outputs[1].type = numbers([None, count])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write the estimator into skl2onnx's graph."""
    onnx = import_module("onnx")
    model, scores = operator.raw_operator, False
    if hasattr(model, "classes_"):
        scores = container.get_options(model, {"raw_scores": False})["raw_scores"]
    found = onnx.load_from_string(estimator_file(operator, opset_of(container.target_opset), scores))
    names: dict[str, str] = dict(
        zip((one.name for one in found.graph.input), (one.full_name for one in operator.inputs), strict=True)
    )
    names |= zip((one.name for one in found.graph.output), (one.full_name for one in operator.outputs), strict=True)

    def renamed(name: str) -> str:
        if name not in names:
            names[name] = str(scope.get_unique_variable_name(f"fastbp_{name}"))
        return names[name]

    for constant in found.graph.initializer:
        constant.name = renamed(constant.name)
        container.initializers.append(constant)
    for node in found.graph.node:
        own = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        inputs, outputs = [renamed(name) for name in node.input], [renamed(name) for name in node.output]
        name = scope.get_unique_operator_name(f"fastbp_{node.op_type}")
        version = {"op_version": 2} if node.domain == ML else {}  # that skl2onnx takes in any of its own
        container.add_node(node.op_type, inputs, outputs, op_domain=node.domain, name=name, **version, **own)


@dataclass(frozen=True)
class Given:
    """A column that the estimator is given: its tensor, (rows, 1), and the name of its type in skl2onnx."""

    tensor: str
    kind: str


def estimator_file(operator: Any, opset: int, scores: bool = False) -> bytes:
    """The estimator of an operator of skl2onnx as a file, whose inputs and outputs are those of the operator.

    With `scores` what `decision_function` says takes the place of probabilities: of two classes two columns.
    """
    model = model_of(operator.raw_operator)
    graph = OnnxGraph("estimator", opset)
    for one in operator.inputs:
        kind = _kind(one)
        if kind not in NUMERIC and kind != TEXT:
            must = f"must have numbers or texts in `{visible(one.raw_name)}`"
            raise ConfigError("initial_types", must, f"`{kind}`")
        graph.input(one.full_name, NUMERIC.get(kind, "object"), [ROWS, _width(one) or "columns"])
    outputs = operator.outputs
    for one in outputs:
        graph.reserve(one.full_name)
    tables, tensors = _tables(graph, model, operator.inputs)
    wide = "float64" if any(_kind(one) == "DoubleTensorType" for one in operator.inputs) else "float32"
    said = predictions(graph, model, tables, tensors, wide, scores)
    if scores and tables.outcome.task == "classes" and len(tables.outcome.names) == 2:
        said["probabilities"] = replace(said["probabilities"], tensor=_sided(graph, said["probabilities"].tensor))
    keys = ["label", "probabilities"] if "label" in said else ["predictions"]
    for key, variable in zip(keys, outputs, strict=True):
        one = said[key]
        dtype = one.dtype if key == "label" else wide
        graph.node("Cast", one.tensor, name=variable.full_name, to=TYPES[dtype])
        graph.output(variable.full_name, dtype, [ROWS, one.columns] if one.columns else [ROWS])
    return graph.to_bytes()


def _sided(graph: OnnxGraph, scores: str) -> str:
    """Two logits as their difference, below and above 0."""
    first, second = _cut(graph, scores, 0), _cut(graph, scores, 1)
    return graph.node("Concat", graph.node("Sub", first, second), graph.node("Sub", second, first), axis=1)


def _kind(one: Any) -> str:
    return type(one.type).__name__


def _width(one: Any) -> int | None:
    """The columns of an input, where they are known."""
    shape = list(one.type.shape or [])
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _tables(graph: OnnxGraph, model: Model, inputs: Sequence[Any]) -> tuple[Tables, dict[str, str]]:
    """What the estimator reads, and the tensor of each raw column."""
    tables = tables_of(model)
    if tables.array and not model.recipes[0].inputs.categories:
        (raw,) = tables.raws
        parts = [graph.node("Cast", one.full_name, to=TYPES["float64"]) for one in inputs]
        return tables, {raw.name: parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)}
    model = replace(model, array=False)
    names = [raw.name for raw in tables_of(model).raws]
    columns = _columns(graph, inputs, names)
    categories = [part.name for part in model.recipes[0].inputs.categories]
    tables = tables_of(model, [name for name in categories if columns[name].kind != TEXT])
    return tables, {raw.name: _as(graph, raw, columns[raw.name]) for raw in tables.raws}


def _columns(graph: OnnxGraph, inputs: Sequence[Any], names: Sequence[str]) -> dict[str, Given]:
    """The columns of inputs by the names of raw ones: by their own names, or in order."""
    by_name = {one.raw_name: Given(one.full_name, _kind(one)) for one in inputs}
    if len(inputs) == len(names) and set(by_name) == set(names):
        return by_name
    found: list[Given] = []
    for one in inputs:
        width = _width(one) or (len(names) if len(inputs) == 1 else 1)
        cuts = [one.full_name] if width == 1 else [_cut(graph, one.full_name, i) for i in range(width)]
        found += [Given(cut, _kind(one)) for cut in cuts]
    if len(found) != len(names):
        raise ConfigError("initial_types", f"must have the {len(names)} columns of the estimator", f"{len(found)}")
    return dict(zip(names, found, strict=True))


def _cut(graph: OnnxGraph, tensor: str, at: int) -> str:
    return graph.node("Gather", tensor, graph.constant(np.array([at])), axis=1)


def _as(graph: OnnxGraph, raw: Raw, given: Given) -> str:
    """A column as the recipe takes it."""
    if raw.kind == "text" and given.kind == TEXT:
        return given.tensor
    if raw.kind == "number" and given.kind != TEXT:
        return graph.node("Cast", given.tensor, to=TYPES["float64"])
    if raw.kind == "moment" and given.kind == "Int64TensorType":
        return given.tensor
    what = {"number": "numbers", "text": "texts", "moment": "int64, microseconds since 1970,"}[raw.kind]
    raise ConfigError("initial_types", f"must have {what} for column `{visible(raw.name)}`", f"`{given.kind}`")
