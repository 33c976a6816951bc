"""Preprocessing in ONNX against recipes."""

import numpy as np
import pytest

from fastbp.data.numbers import Numbers
from fastbp.export.in_onnx import tables as onnx_tables
from fastbp.export.in_onnx.graph import OnnxGraph
from fastbp.export.prepared import raw_rows
from fastbp.export.recipe import preprocessing_of
from tests.export.onnx_runs import run
from tests.export.recipes import REFUSED, cases, recipe, refused

TYPES = {"number": "float64", "text": object, "moment": "int64"}
CASES = cases(words=False)


def inputs_of(said, rows, opset=17):
    graph = OnnxGraph("tables", opset)
    names = {raw.name: graph.input(raw.name, TYPES[raw.kind], ["rows", raw.width]) for raw in said.raws}
    out = graph.node("Identity", onnx_tables.inputs(graph, said, names), name="inputs")
    graph.output(out, said.dtype, ["rows", said.width])
    return run(graph.to_bytes(), {name: column.reshape(len(column), -1) for name, column in rows.items()})["inputs"]


@pytest.mark.parametrize("name", CASES)
def test_inputs_are_those_of_the_recipe(name):
    one = CASES[name]
    said = preprocessing_of(one.made, np.float32, **one.options)
    found, expected = inputs_of(said, raw_rows(said, one.rows)), one.expected(np.float32)
    assert found.dtype == expected.dtype
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "column", "values"), REFUSED)
def test_rows_that_are_refused_are_no_numbers(name, column, values):
    one, rows = refused(name, column, values)
    said = preprocessing_of(one.made, np.float32)
    found = inputs_of(said, raw_rows(said, rows))
    assert np.isnan(found).any(axis=1).tolist() == [True] * len(values)


def test_missing_numbers_are_no_numbers_where_they_are_refused():
    for scale in ("none", "standard", "quantile", "noisy_quantile"):
        made = recipe([Numbers("a", scale, "refuse")], {"a": np.arange(40.0)})
        said = preprocessing_of(made, np.float32)
        found = inputs_of(said, {"a": np.array([np.nan, 7.0])})
        assert np.isnan(found[:, 0]).tolist() == [True, False]
