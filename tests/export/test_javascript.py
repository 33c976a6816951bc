"""Models as JavaScript, against `predict` and `jacobian` of the networks."""

import re
import subprocess

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.graph import GATES
from fastbp.autodiff.graph import Graph as Gates
from fastbp.autodiff.tracer import Tracer
from fastbp.errors import ConfigError
from fastbp.export import js_file
from fastbp.export.in_js.functions import FUNCTIONS
from fastbp.export.in_js.gates import PLACES, WRITTEN, Code
from fastbp.export.in_js.order import FOUND, Given
from fastbp.export.in_js.table import ELEMENTWISE
from tests.autodiff.ladder import LADDER
from tests.export.models import model as random_model
from tests.export.node import NODE, called, needs_node, numbers
from tests.model.random_networks import LOSSES, Decks, random_layers, random_loss, random_rows

CLOSE = {"float64": 1e-12, "float32": 1e-5}  # relative to the largest number
COUNT = 40


def assert_close(found, expected, dtype):
    assert found.shape == expected.shape
    top = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() <= CLOSE[dtype] * top


def compare(cases, folder):
    """Networks with their rows, all by one process."""
    jobs = []
    for i, (net, X) in enumerate(cases):
        fb.export.js(net, folder / f"net{i}.mjs")
        rows = X.tolist()
        jobs.append((folder / f"net{i}.mjs", [["predict", rows], ["jacobian", rows], ["predict", rows[0]]]))
    for (net, X), (outputs, jacobians, first) in zip(cases, called(jobs), strict=True):
        dtype, y = net.dtype.name, net.predict(X)
        if isinstance(y, tuple):
            for head, expected in enumerate(y):
                assert_close(numbers([row[head] for row in outputs]), expected, dtype)
        else:
            assert_close(numbers(outputs), y, dtype)
        assert first == outputs[0]
        assert_close(numbers(jacobians), net.jacobian(X), dtype)


@needs_node
def test_random_chains_predict_and_have_their_jacobians(tmp_path):
    decks, cases = Decks(np.random.default_rng(3)), []
    for number in range(COUNT):
        dtype = ("float64", "float32")[number % 2]
        _, loss, outputs = random_loss(decks, LOSSES)
        layers, inputs = random_layers(decks, loss, outputs, beyond_torch=True)
        rng = np.random.default_rng(number)
        net = fb.Network(layers, inputs, seed=number, dtype=dtype)
        net.flat = net.flat + 0.1 * rng.normal(size=net.flat.size)
        for name, values in net.states.items():
            net.states[name] = 0.7 * values + 0.5 * rng.random(values.shape)
        cases.append((net, random_rows(rng, layers, inputs, 5).astype(dtype)))
    compare(cases, tmp_path)


@needs_node
@pytest.mark.parametrize("dtype", CLOSE)
def test_random_models_of_all_kinds_predict_the_same(dtype, tmp_path):
    """Chains, graphs, members, packs and ensembles; of networks the Jacobian too."""
    jobs, cases = [], [random_model(seed, dtype) for seed in (range(32) if dtype == "float64" else range(32, 48))]
    for i, (model, X) in enumerate(cases):
        file = tmp_path / f"model{i}.mjs"
        fb.export.js(model, file)
        rows = np.concatenate(X, axis=1).tolist() if isinstance(X, tuple) else X.tolist()
        jobs.append((file, [["predict", rows], ["jacobian", rows]]))
    for (model, X), (outputs, jacobians) in zip(cases, called(jobs), strict=True):
        y = model.predict(X)
        heads = y if isinstance(y, tuple) else (y,)
        rows = outputs if isinstance(y, tuple) else [[row] for row in outputs]
        for head, expected in enumerate(heads):
            assert_close(numbers([row[head] for row in rows]), expected, dtype)
        if isinstance(model, fb.Network):
            assert_close(numbers(jacobians), model.jacobian(X), dtype)


def test_each_gate_is_written():
    assert {*ELEMENTWISE, *PLACES, *WRITTEN} == set(GATES)


def _numbers_for(kind, rng, shape):
    if kind == "positive":
        return rng.uniform(0.2, 3.0, shape)
    if kind == "above":
        return rng.uniform(-0.9, 3.0, shape)
    return np.round(rng.normal(size=shape), 1) if kind == "whole" else 2.0 * rng.normal(size=shape)


@needs_node
@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (5, 1), (1, 1)], ids=str)
def test_gates_of_matrices_have_the_values_of_numpy(shape, tmp_path):
    """Each rung of the ladder of gates by itself, of several rows."""
    rng = np.random.default_rng(0)
    jobs, expected = [], []
    for name, rung in LADDER.items():
        values = [_numbers_for(kind, rng, shape) for kind in rung.inputs]
        try:
            must = np.asarray(rung.function(*values))
        except (ValueError, IndexError):  # of other shapes than these
            continue
        gates = Gates()
        tracers = [Tracer(gates, gates.argument(value.shape)) for value in values]
        found = rung.function(*tracers)
        given = {t.number: Given(f"x{i}", FOUND) for i, t in enumerate(tracers)}
        code = Code(gates, given, [found.number])
        file = tmp_path / f"{name}.mjs"
        file.write_text(_module(code, len(values)))
        jobs.append((file, [["run", *(value.ravel().tolist() for value in values)]]))
        expected.append((name, must))
    assert len(expected) > 20
    for (name, must), (found,) in zip(expected, called(jobs), strict=True):
        np.testing.assert_allclose(numbers(found), must.ravel(), rtol=1e-13, atol=1e-15, err_msg=name)


def _module(code, count):
    """A module that runs some gates."""
    names = [f"x{i}" for i in range(count)]
    lines = [f"let {', '.join(names)};"] + [f"const {n} = new Float64Array({size});" for n, size in code.arrays.items()]
    lines += [f"const {n} = [{', '.join(map(repr, a.ravel().tolist()))}];" for n, a in code.constants.items()]
    lines += [f"let {n};" for n in code.numbers] + [FUNCTIONS[n] for n in FUNCTIONS]
    bodies = "\n".join(body for stage in code.stages for body in stage)
    given = " ".join(f"{n} = Float64Array.from(a{i});" for i, n in enumerate(names))
    arguments = ", ".join(f"a{i}" for i in range(count))
    lines.append(
        f"export function run({arguments}) {{ {given}\n{bodies}\nreturn Array.from({code.names[0]}, String); }}"
    )
    return "\n".join(lines)


@needs_node
def test_erf_is_exact_to_the_last_digits(tmp_path):
    from math import erf

    file = tmp_path / "erf.mjs"
    file.write_text(FUNCTIONS["erf"] + "\nexport const all = (x) => x.map(erf).map(String);")
    x = np.concatenate([np.linspace(-7.0, 7.0, 1001), [2.5, -2.5, 1e-300, 0.0, 6.0]])
    ((found,),) = called([(file, [["all", x.tolist()]])])
    np.testing.assert_allclose(numbers(found), [erf(v) for v in x], rtol=2e-15, atol=0.0)


@needs_node
def test_an_ensemble_says_what_it_predicts(tmp_path):
    nets = [fb.mlp([4, 9, 3], activation="gelu", seed=seed, dtype="float64") for seed in range(3)]
    model = fb.Ensemble(nets, weights=[1.0, 2.0, 0.5], loss="cross_entropy")
    X = np.random.default_rng(0).normal(size=(6, 4))
    fb.export.js(model, tmp_path / "model.mjs")
    rows = X.tolist()
    ((p, J),) = called([(tmp_path / "model.mjs", [["predict", rows], ["jacobian", rows]])])
    assert_close(numbers(p), model.predict(X), "float64")
    step = 1e-5
    for column in range(4):
        away = step * np.eye(4)[column]
        slope = (model.predict(X + away) - model.predict(X - away)) / (2 * step)
        np.testing.assert_allclose(numbers(J)[:, :, column], slope, atol=1e-9)


@needs_node
def test_a_script_is_one_for_pages_and_for_require(tmp_path):
    net = fb.mlp([2, 3, 1], seed=0, dtype="float64")
    fb.export.js(net, tmp_path / "net.js", format="script")
    program = "console.log(require(process.argv[1]).predict([0.5, -1])[0])"
    done = subprocess.run([NODE, "-e", program, tmp_path / "net.js"], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(float(done.stdout), net.predict([0.5, -1.0])[0], rtol=1e-12)
    page = f"{(tmp_path / 'net.js').read_text()}\nconsole.log(typeof model.jacobian, typeof predict)"
    done = subprocess.run([NODE, "--input-type=module", "-e", page], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["function", "undefined"]


@needs_node
def test_rows_that_do_not_fit_are_refused(tmp_path):
    net = fb.Network([fb.Embedding({1: (4, 2)}), fb.Linear(1)], inputs=2, seed=0)
    fb.export.js(net, tmp_path / "net.mjs")
    calls = [["predict", [1.0]], ["predict", [[0.5, 3], [0.5, 4]]], ["jacobian", [0.0, 1.5]]]
    assert called([(tmp_path / "net.mjs", calls)]) == [
        [
            "RangeError: a row must have 2 numbers, got 1",
            "RangeError: column 1 must be the number of a category, below 4, got 4",
            "RangeError: column 1 must be the number of a category, below 4, got 1.5",
        ]
    ]


@needs_node
def test_long_networks_are_cut_into_functions(tmp_path):
    layers = [layer for _ in range(70) for layer in (fb.Linear(5), fb.LayerNorm(), fb.Tanh())]
    net = fb.Network([*layers, fb.Linear(2)], inputs=3, seed=0, dtype="float64")
    compare([(net, np.random.default_rng(0).normal(size=(3, 3)))], tmp_path)
    assert "function compute1()" in (tmp_path / "net0.mjs").read_text()


def test_a_layer_is_a_product_and_a_loop(tmp_path):
    """What is read once is part of its reader, and what only derivatives need is not computed for predictions."""
    fb.export.js(fb.mlp([2, 16, 3], activation="tanh", seed=0), tmp_path / "net.js")
    text = (tmp_path / "net.js").read_text()
    compute = re.search(r"function compute\(\) {\n(.*?)\n}", text, re.DOTALL)
    assert [re.sub(r"v\d+", "v", line.strip()) for line in compute[1].splitlines()] == [
        "product(v, x, p_0_weight, 1, 2, 16);",
        "for (let c = 0; c < 16; c++) v[c] = Math.tanh(v[c] + p_0_bias[c]);",
        "product(v, v, p_2_weight, 1, 16, 3);",
        "for (let c = 0; c < 3; c++) v[c] = v[c] + p_2_bias[c];",
    ]


def test_the_largest_of_a_row_is_found_by_a_loop(tmp_path):
    fb.export.js(fb.Network([fb.Linear(33), fb.Softmax()], inputs=2, seed=0), tmp_path / "net.js")
    text = (tmp_path / "net.js").read_text()
    assert text.count("Math.max") == 1
    assert "-Infinity" in text


@pytest.mark.parametrize(("shape", "way"), [([2, 9, 5], "column by column"), ([5, 9, 2], "row by row")])
def test_a_jacobian_is_found_in_the_fewer_directions(shape, way, tmp_path):
    fb.export.js(fb.mlp(shape, seed=0), tmp_path / "net.js")
    assert f"computed last, {way}." in (tmp_path / "net.js").read_text()


def test_a_parameter_is_written_once(tmp_path):
    net = fb.mlp([50, 60, 40], activation="relu", seed=0)
    fb.export.js(net, tmp_path / "net.js")
    text = (tmp_path / "net.js").read_text()
    assert len(text) < net.flat.nbytes * 4 / 3 * 1.02 + 6000
    assert "productTransposed" in text


@needs_node
def test_a_traced_function_has_its_values_and_derivatives(tmp_path):
    rng = np.random.default_rng(0)
    W, x, s = rng.normal(size=(3, 4)), rng.normal(size=4), 0.7

    @fb.trace
    def several(W, x, s):
        z = np.tanh(W @ x) * s
        return z, np.max(W, axis=0), (W.T[1:, ::2] ** 2).sum(), np.concatenate([W, W[:1]]) / 2.0

    loss = fb.trace(lambda W, x, s: ((W @ x) ** 2).sum() * np.sqrt(s))
    given = [W.tolist(), x.tolist(), s]
    fb.export.js(several, tmp_path / "several.mjs", arguments=(W, x, s))
    fb.export.js(loss, tmp_path / "loss.mjs", arguments=(W, x, s))
    calls = [[["value", *given], ["jacobian", *given]], [["value", *given], ["gradient", *given], ["value", 1.0]]]
    jobs = zip([tmp_path / "several.mjs", tmp_path / "loss.mjs"], calls, strict=True)
    (values, J), (one, gradient, wrong) = called(list(jobs))
    for found, expected in zip(values, several(W, x, s), strict=True):
        np.testing.assert_allclose(numbers(found), expected, rtol=1e-12)
    blocks = [
        [np.reshape(part, (np.size(out), -1)) for part in row]
        for out, row in zip(several(W, x, s), several.jacobian(W, x, s), strict=True)
    ]
    np.testing.assert_allclose(numbers(J), np.block(blocks), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(float(one), loss(W, x, s), rtol=1e-12)
    for found, expected in zip(gradient, loss.gradient(W, x, s), strict=True):
        np.testing.assert_allclose(numbers(found), expected, rtol=1e-12)
    assert wrong == "RangeError: there must be 3 arguments, got 1"


def test_what_cannot_be_is_said(tmp_path, monkeypatch):
    net = fb.mlp([2, 3, 1], seed=0)
    with pytest.raises(ConfigError, match=r"^`format` must be one of `module`, `script`, got `cjs`"):
        fb.export.js(net, tmp_path / "net.js", format="cjs")
    with pytest.raises(ConfigError, match=r"^`arguments` must be given for a traced function, whose file is"):
        fb.export.js(fb.trace(np.sum), tmp_path / "net.js")
    with pytest.raises(ConfigError, match=r"^`arguments` must be given for a traced function only, got `3`"):
        fb.export.js(net, tmp_path / "net.js", arguments=3)
    monkeypatch.setattr(js_file, "LARGEST", 2**20)
    for width in (500, 440):  # by its numbers, and with all that is around them
        large = fb.Network([fb.Linear(width, init="zeros"), fb.Linear(width)], inputs=3, seed=0)
        with pytest.raises(ConfigError) as caught:
            fb.export.js(large, tmp_path / "net.js")
        assert str(caught.value).startswith("`model` must be one that fits into 1 MB of JavaScript, got 1 MB\nhint: ")
    assert not (tmp_path / "net.js").exists()
