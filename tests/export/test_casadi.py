"""CasADi reads what is exported with derivatives: into expressions, and by ONNX Runtime with the files beside it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from tests.export.models import model

runtime = pytest.importorskip("onnxruntime")
ca = pytest.importorskip("casadi")
if not hasattr(ca, "GraphBuilder"):
    pytest.skip("CasADi before 3.8 reads no ONNX", allow_module_level=True)

WAYS = {"expressions": True, "ONNX Runtime": False}


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """CasADi loads ONNX Runtime from where this says."""
    (found,) = (Path(runtime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    monkeypatch.setenv("CASADI_ONNXRUNTIME_LIB", os.fspath(found))


def imported(file, symbolic, rows=1):
    builder = ca.GraphBuilder(os.fspath(file))
    builder.bind_dim("rows", rows)
    return builder.create("f", {"symbolic": symbolic})


def evaluated(f, X, weights):
    """Outputs, and Jacobian, gradient and Hessian in all inputs, by CasADi."""
    widths = [x.shape[1] for x in X]
    v = ca.MX.sym("v", sum(widths))
    parts = [part.T for part in ca.vertsplit(v, np.cumsum([0, *widths]).tolist())]
    outputs = f.call(parts)
    y = ca.vertcat(*[out.T for out in outputs])
    hessian, gradient = ca.hessian(ca.dot(ca.DM(weights), y), v)
    function = ca.Function("all", [v], [y, ca.jacobian(y, v), gradient, hessian])
    return [np.array(one) for one in function(np.concatenate(X, axis=1).ravel())]


def close(found, wanted, most):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=most, atol=most * max(np.abs(wanted).max(), 1e-30))


@pytest.mark.parametrize("seed", range(40))
def test_values_jacobians_and_hessians_are_those_of_the_network(seed, tmp_path):
    made, X = model(seed, codes=False)
    fb.export.onnx(made, tmp_path / "f.onnx", jacobian=True)
    X = tuple(x[:1] for x in (X if isinstance(X, tuple) else (X,)))
    given = X if len(X) > 1 else X[0]
    wanted = made.predict(given)
    y = np.concatenate(wanted, axis=1) if isinstance(wanted, tuple) else wanted
    weights = np.random.default_rng(seed).normal(size=y.shape[1])
    found = {way: evaluated(imported(tmp_path / "f.onnx", symbolic), X, weights) for way, symbolic in WAYS.items()}
    for of in found.values():
        close(of[0], y.T, 1e-12)
    for one, other in zip(*found.values(), strict=True):  # CasADi's own derivatives of the expressions
        close(one, other, 1e-11)
    if not isinstance(made, fb.Network):
        return
    close(found["ONNX Runtime"][1], made.jacobian(given)[0], 1e-12)
    apart = np.cumsum([x.shape[1] for x in X])[:-1]
    row, step = np.concatenate(X, axis=1), 1e-6

    def gradient(row):
        parts = np.split(row, apart, axis=1)
        return made.vjp(tuple(parts) if len(parts) > 1 else parts[0], weights[None])[0]

    close(found["ONNX Runtime"][2], gradient(row)[:, None], 1e-12)
    units = np.eye(row.shape[1])
    wanted = np.stack([(gradient(row + step * e) - gradient(row - step * e)) / (2.0 * step) for e in units])
    close(found["ONNX Runtime"][3], wanted, 1e-6)


def test_hessians_come_from_siblings_of_adj(tmp_path):
    """Without these there are none, and either is enough."""
    net = fb.mlp([3, 6, 1], activation="tanh", dtype="float64", seed=0)
    fb.export.onnx(net, tmp_path / "f.onnx", jacobian=True)
    X = (np.array([[0.1, -0.3, 0.2]]),)
    whole = evaluated(imported(tmp_path / "f.onnx", False), X, [1.0])[3]
    both = tmp_path / "fwd_adj_f.onnx", tmp_path / "adj_adj_f.onnx"
    kept = [file.read_bytes() for file in both]
    for file, other in (both, both[::-1]):
        file.unlink()
        close(evaluated(imported(tmp_path / "f.onnx", False), X, [1.0])[3], whole, 1e-12)
        file.write_bytes(kept[both.index(file)])
        assert other.exists()
    for file in both:
        file.unlink()
    with pytest.raises(RuntimeError, match="Derivatives cannot be calculated"):
        evaluated(imported(tmp_path / "f.onnx", False), X, [1.0])


def test_any_number_of_directions_and_rows_go_at_once(tmp_path):
    net = fb.mlp([3, 6, 2], activation="tanh", dtype="float64", seed=0)
    fb.export.onnx(net, tmp_path / "f.onnx", jacobian=True)
    rng = np.random.default_rng(0)
    for rows in (1, 4):
        f, expressions = (imported(tmp_path / "f.onnx", symbolic, rows) for symbolic in (False, True))
        X = rng.normal(size=(rows, 3))
        y = np.array(f(X))
        close(y, net.predict(X), 1e-12)
        close(np.array(expressions(X)), y, 1e-12)
        for count in (1, 2, 5):
            v = rng.normal(size=(count, rows, 3))
            found = np.array(f.forward(count)(X, y, np.hstack(list(v))))
            close(found, np.hstack([net.jvp(X, one) for one in v]), 1e-12)
            u = rng.normal(size=(count, rows, 2))
            found = np.array(f.reverse(count)(X, y, np.hstack(list(u))))
            close(found, np.hstack([net.vjp(X, one) for one in u]), 1e-12)
        J = np.array(f.jacobian()(X, y))
        close(J, np.array(expressions.jacobian()(X, y)), 1e-12)


def test_bins_and_softmax_of_several_rows_are_expressions_too(tmp_path):
    layers = [fb.PiecewiseLinear({1: [-0.8, 0.3, 1.1]}), fb.Linear(5), fb.LayerNorm(), fb.ReLU(), fb.Linear(3)]
    net = fb.Network([*layers, fb.Softmax()], inputs=2, dtype="float64", seed=0)
    fb.export.onnx(net, tmp_path / "f.onnx", jacobian=True)
    X = np.random.default_rng(0).normal(size=(4, 2))
    close(np.array(imported(tmp_path / "f.onnx", True, 4)(X)), net.predict(X), 1e-12)


def test_codes_are_inputs_without_derivatives(tmp_path):
    code, x = fb.Input(2, name="code"), fb.Input(3, name="x")
    e = fb.Embedding({0: (4, 2), 1: (3, 5)})(code)
    y = fb.Linear(2)(fb.tanh(fb.Linear(6)(fb.concat([e, x]))), name="y")
    net = fb.Network(inputs=[code, x], outputs=y, dtype="float64", seed=1)
    fb.export.onnx(net, tmp_path / "f.onnx", jacobian=True)
    codes, X = np.array([[3.0, 1.0]]), np.array([[0.3, -0.2, 0.5]])
    for symbolic in WAYS.values():
        f = imported(tmp_path / "f.onnx", symbolic)
        close(np.array(f(codes, X)), net.predict((codes, X)), 1e-12)
        v = ca.MX.sym("v", 1, 3)
        J = ca.Function("J", [v], [ca.jacobian(f(ca.DM(codes), v), v)])
        close(np.array(J(X)), net.jacobian((codes, X))[0][:, 2:], 1e-12)


def test_derivatives_of_a_run_go_through_scales_to_the_units_of_the_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    from fastbp.sklearn import MLPRegressor

    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"speed (m/s)": rng.uniform(0.0, 30.0, 200), "angle": rng.uniform(-1.0, 1.0, 200)})
    y = 1000.0 + 3.0 * X["speed (m/s)"] * np.sin(X["angle"])
    model = MLPRegressor((16,), activation="tanh", dtype="float64", random_state=0, epochs=5).fit(X, y)
    fb.export.onnx(model, tmp_path / "f.onnx", jacobian=True)
    row, units, step = np.array([12.0, 0.3]), np.eye(2), 1e-5

    def predicted(rows):
        return model.predict(pandas.DataFrame(np.atleast_2d(rows), columns=X.columns))

    gradient = (predicted(row + step * units) - predicted(row - step * units)) / (2.0 * step)
    for symbolic in WAYS.values():
        f = imported(tmp_path / "f.onnx", symbolic)
        assert list(f.name_in()) == ["speed (m/s)", "angle"]
        v = ca.MX.sym("v", 2)
        out = f(v[0], v[1])
        found = [np.array(one) for one in ca.Function("h", [v], [out, ca.jacobian(out, v)])(row)]
        close(found[0][0], predicted(row), 1e-12)
        close(found[1][0], gradient, 1e-7)
