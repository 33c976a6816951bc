"""Parameters going in and out: natural arrays, one vector, copies of whole networks."""

import copy
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import DataError
from tests.model.chains import CODES, DTYPES, assert_close, build, data, twin

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
SIZES = [1, 3, 7, 8, 9, 15, 16, 17, 33]  # either side of a line of float64 and of float32


def values(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@every_dtype
@pytest.mark.parametrize("outputs", SIZES)
@pytest.mark.parametrize("inputs", SIZES)
def test_what_is_assigned_is_read_back(inputs, outputs, dtype):
    net = fb.Network([fb.Linear(outputs)], inputs=inputs, dtype=dtype)
    for name, shape in {"0.weight": (inputs, outputs), "0.bias": (outputs,)}.items():
        new = values(shape, dtype)
        net.parameters[name] = new
        found = net.parameters[name]
        assert found.dtype == net.dtype
        assert found.shape == shape
        assert found.tobytes() == new.tobytes()
    X, _ = data(net, 3)
    assert_close(net.predict(X), X @ net.parameters["0.weight"] + net.parameters["0.bias"], dtype)


@every_dtype
@pytest.mark.parametrize("outputs", SIZES)
def test_what_is_read_is_a_copy(outputs, dtype):
    net = fb.Network([fb.Linear(outputs)], inputs=16, dtype=dtype)
    before = net.flat
    for name in net.parameters:
        found = net.parameters[name]
        found[...] = 7
    net.flat[...] = 7
    assert np.array_equal(net.flat, before)


@every_dtype
def test_what_is_assigned_is_copied(dtype):
    net = fb.Network([fb.Linear(16)], inputs=16, dtype=dtype)
    new = values((16, 16), dtype)
    net.parameters["0.weight"] = new
    expected = new.copy()
    new[...] = 7
    assert np.array_equal(net.parameters["0.weight"], expected)


@every_dtype
@pytest.mark.parametrize("code", CODES)
def test_flat_holds_every_parameter_in_order_row_by_row(code, dtype):
    net = build(code, 2, dtype)
    parts = [net.parameters[name].ravel() for name in net.parameters]
    expected = np.concatenate(parts) if parts else np.empty(0, dtype)
    assert net.flat.dtype == net.dtype
    assert np.array_equal(net.flat, expected)
    new = values(net.flat.shape, dtype)
    net.flat = new
    assert np.array_equal(net.flat, new)
    at = 0
    for name, shape in net.graph.parameters().items():
        size = int(np.prod(shape))
        assert np.array_equal(net.parameters[name], new[at : at + size].reshape(shape))
        at += size
    assert at == len(new)


@every_dtype
def test_assigning_flat_changes_predictions(dtype):
    net = build("LtL", 0, dtype)
    X, _ = data(net, 5)
    before = net.predict(X)
    net.flat = values(net.flat.shape, dtype)
    after = net.predict(X)
    assert not np.allclose(after, before)
    assert_close(after, twin(net).forward(X), dtype)


def test_parameters_are_a_mapping_in_the_order_of_layers():
    net = fb.Network([fb.ReLU(), fb.Linear(3, bias=False), fb.Tanh(), fb.Linear(2)], inputs=4)
    assert list(net.parameters) == ["1.weight", "3.weight", "3.bias"]
    assert len(net.parameters) == 3
    assert "1.bias" not in net.parameters
    assert repr(net.parameters) == "Parameters({'1.weight': (4, 3), '3.weight': (3, 2), '3.bias': (2,)})"
    net.parameters.update({"3.bias": [1.0, 2.0]})
    assert net.parameters["3.bias"].tolist() == [1.0, 2.0]


@every_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_refused_before_any_of_it_is_written(bad, dtype):
    net = fb.Network([fb.Linear(3)], inputs=2, dtype=dtype)
    before = net.flat
    with pytest.raises(DataError, match="must be finite"):
        net.flat = [0.0] * 8 + [bad]
    assert np.array_equal(net.flat, before)


@pytest.mark.parametrize("assign", ["parameter", "flat"])
def test_a_number_too_large_for_float32_is_refused(assign):
    net = fb.Network([fb.Linear(1)], inputs=1)
    before = net.flat
    write = {
        "parameter": lambda: net.parameters.update({"0.weight": [[1e39]]}),
        "flat": lambda: setattr(net, "flat", [1e39, 0.0]),
    }
    with pytest.raises(DataError, match="must be finite"):
        write[assign]()
    assert np.array_equal(net.flat, before)


# Copies of whole networks


@every_dtype
@pytest.mark.parametrize(
    "through",
    [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_the_same_network_and_another_one(through, dtype):
    net = fb.Network([fb.Linear(9), fb.Tanh(), fb.Dropout(0.25), fb.Linear(2, bias=False)], 5, seed=3, dtype=dtype)
    fb.Trainer(net, batch_size=4).run(*data(net, 12), steps=3)  # so that there are plans, and other parameters
    X, y = data(net, 12, "mse")
    again = through(net)
    assert again.layers == net.layers
    assert (again.inputs, again.seed, again.dtype) == (net.inputs, net.seed, net.dtype)
    assert again.flat.tobytes() == net.flat.tobytes()
    assert np.array_equal(again.vjp(X, y), net.vjp(X, y))
    before = net.flat
    again.flat = 2 * before
    assert np.array_equal(net.flat, before)
    assert not np.array_equal(again.predict(X), net.predict(X))


@every_dtype
def test_a_copy_trains_as_its_original_does(dtype):
    nets = [fb.Network([fb.Linear(9), fb.ReLU(), fb.Dropout(0.25), fb.Linear(3)], 5, seed=3, dtype=dtype)]
    nets.append(pickle.loads(pickle.dumps(nets[0])))
    X, y = data(nets[0], 30)
    losses = [fb.Trainer(net, batch_size=8).fit(X, y, epochs=3).loss for net in nets]
    assert losses[0] == losses[1]
    assert nets[0].flat.tobytes() == nets[1].flat.tobytes()
