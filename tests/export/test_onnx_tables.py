"""Preprocessing in ONNX against recipes, by ONNX Runtime."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
import onnxruntime

from fastbp.data.numbers import Numbers
from fastbp.export import onnx_tables
from fastbp.export.onnx_graph import OnnxGraph
from fastbp.export.prepared import raw_rows
from fastbp.export.recipe import preprocessing_of
from tests.export.recipes import REFUSED, cases, recipe, refused

TYPES = {"number": "float64", "text": object, "moment": "int64"}
CASES = cases(words=False)


def session(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])


def run(said, rows, opset=17):
    graph = OnnxGraph("tables", opset)
    names = {raw.name: graph.input(raw.name, TYPES[raw.kind], ["rows", raw.width]) for raw in said.raws}
    graph.output(onnx_tables.inputs(graph, said, names), said.dtype, ["rows", said.width])
    feeds = {name: column.reshape(len(column), -1) for name, column in rows.items()}
    return session(graph).run(None, feeds)[0]


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_those_of_the_recipe(name):
    one = CASES[name]
    said = preprocessing_of(one.made, np.float32, **one.options)
    found, expected = run(said, raw_rows(said, one.rows)), one.expected(np.float32)
    assert found.dtype == expected.dtype
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "column", "values"), REFUSED)
def test_rows_that_are_refused_are_no_numbers(name, column, values):
    one, rows = refused(name, column, values)
    said = preprocessing_of(one.made, np.float32)
    found = run(said, raw_rows(said, rows))
    assert np.isnan(found).any(axis=1).tolist() == [True] * len(values)


def test_missing_numbers_are_no_numbers_where_they_are_refused():
    for scale in ("none", "standard", "quantile", "noisy_quantile"):
        made = recipe([Numbers("a", scale, "refuse")], {"a": np.arange(40.0)})
        said = preprocessing_of(made, np.float32)
        found = run(said, {"a": np.array([np.nan, 7.0])})
        assert np.isnan(found[:, 0]).tolist() == [True, False]
