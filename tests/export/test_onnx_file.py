"""Models as ONNX files: what they compute is what models predict."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp as fb
from fastbp.export.gated import gated
from fastbp.export.in_onnx.graph import NEWEST, OLDEST
from fastbp.export.model import model_of
from fastbp.export.onnx_file import network_file
from fastbp.spec.catalogue import ACTIVATIONS, LAYERS, LOSSES
from tests.export.models import model
from tests.export.onnx_reader import read

RELATIVE = {"float64": 1e-12, "float32": 1e-5}
OPSETS = (OLDEST, 15, 17, 18, 21, NEWEST)


def close(found, wanted, dtype):
    """Within a part of the largest number of an output."""
    assert found.dtype == wanted.dtype == dtype
    assert found.shape == wanted.shape
    most = RELATIVE[dtype]
    np.testing.assert_allclose(found, wanted, rtol=most, atol=most * max(float(np.abs(wanted).max()), 1e-30))


def several(found):
    return found if isinstance(found, tuple) else (found,)


def feeds(described, X):
    return {name: x.astype(of.dtype) for (name, of), x in zip(described.items(), several(X), strict=True)}


def content(made, opset=17, plain=False):
    return network_file(gated(model_of(made)), opset, "model", plain)


@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("plain", [False, True], ids=["any operators", "plain operators"])
def test_a_file_computes_what_a_model_predicts(dtype, plain):
    for seed in range(48):
        made, X = model(seed, dtype)
        file = read(content(made, OPSETS[seed % len(OPSETS)], plain))
        assert file.opset == OPSETS[seed % len(OPSETS)]
        found = file(**feeds(file.inputs, X))
        for out, wanted in zip(found.values(), several(made.predict(X)), strict=True):
            close(out, wanted, dtype)


@pytest.mark.parametrize("dtype", RELATIVE)
def test_onnx_runtime_computes_what_200_models_predict(dtype):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    for seed in range(200):
        made, X = model(seed, dtype)
        data = content(made, OPSETS[seed % len(OPSETS)], plain=seed % 3 == 0)
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
        given = feeds(read(data).inputs, X)
        for out, wanted in zip(session(runtime, data).run(None, given), several(made.predict(X)), strict=True):
            close(out, wanted, dtype)


def session(runtime, data):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def test_models_at_random_have_every_layer():
    kinds = set()
    for seed in range(200):
        nets = [member.net for member in model_of(model(seed)[0]).members]
        kinds |= {node.layer.kind for net in nets for node in net.graph.nodes}
    assert sorted(set(LAYERS) - kinds) == []


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_right_far_from_0_and_near_it(name):
    x = np.concatenate([np.linspace(-6, 6, 25), [-40.0, 40.0, 1e-5, -1e-5, 1e-9, 0.0]])[:, None]
    for dtype in RELATIVE:
        net = fb.Network([ACTIVATIONS[name]()], inputs=1, dtype=dtype)
        file = read(content(net))
        (found,) = file(x=x.astype(dtype)).values()
        np.testing.assert_allclose(
            found, net.predict(x), rtol=RELATIVE[dtype], atol=1e-15 if dtype == "float64" else 1e-7
        )


@pytest.mark.parametrize("name", LOSSES)
def test_members_of_packs_say_the_mean_of_what_the_loss_takes_outputs_for(name):
    for outputs in (1, 2, 4):
        if name == "gaussian_nll" and outputs == 1:
            continue
        try:
            pack = fb.Pack(fb.mlp([3, 5, outputs], dtype="float64"), n=2, loss=name)
        except fb.ConfigError:  # a loss of several outputs only
            continue
        X = np.random.default_rng(0).normal(size=(5, 3))
        file = read(content(pack))
        (found,) = file(x=X).values()
        close(found, pack.predict(X), "float64")


def test_packs_of_several_outputs_say_the_mean_of_each():
    x = fb.Input(3)
    h = fb.tanh(fb.Linear(5)(x))
    net = fb.Network(inputs=x, outputs=[fb.Linear(4)(h, name="policy"), fb.Linear(1)(h, name="value")], dtype="float64")
    pack = fb.Pack(net, n=3, loss=["cross_entropy", "mse"])
    X = np.random.default_rng(0).normal(size=(5, 3))
    found = read(content(pack))(x=X)
    assert list(found) == ["policy", "value"]
    for out, wanted in zip(found.values(), pack.predict(X), strict=True):
        close(out, wanted, "float64")


FORMULAS = ["log1p(exp(x))", "erf(x) + expm1(0.1 * x)", "x ** 1.5", "sin(x) - cos(x)", "where(x > 0, log(x + 1), x)"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_functions_without_an_operator_of_float64_are_several_nodes(formula):
    x = np.linspace(0.0 if "**" in formula else -9.0, 9.0, 301)[:, None]
    net = fb.Network([fb.activation(formula)], inputs=1, dtype="float64")
    file = read(content(net))
    assert not file.used & {"Erf", "Atan", "Softplus"}
    close(file(x=x)["y"], net.predict(x), "float64")


def test_well_known_groups_of_gates_are_one_node_each():
    net = fb.Network([fb.Linear(8), fb.ReLU(), fb.Linear(3), fb.Softmax()], inputs=4)
    file = read(content(net))
    assert [node.op for node in file.nodes] == ["Gemm", "Relu", "Gemm", "Softmax", "Identity"]
    assert sorted(file.constants) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert "Softmax" not in read(content(net, plain=True)).used


def test_a_product_that_others_read_too_is_computed_once():
    x = fb.Input(3)
    h = fb.Linear(4, bias=False)(x)
    file = read(content(fb.Network(inputs=x, outputs=[h, h + 1.0])))
    assert sorted(node.op for node in file.nodes) == ["Add", "Identity", "Identity", "MatMul"]


def test_inputs_and_outputs_keep_their_names_and_widths():
    x, a = fb.Input(3, name="state"), fb.Input(2, name="action")
    h = fb.tanh(fb.Linear(5)(fb.concat([x, a])))
    net = fb.Network(inputs=[x, a], outputs=[fb.Linear(4)(h, name="next"), fb.Linear(1)(h)])
    file = read(content(net))
    assert {name: of.shape for name, of in file.inputs.items()} == {"state": ["rows", 3], "action": ["rows", 2]}
    assert {name: of.shape for name, of in file.outputs.items()} == {"next": ["rows", 4], "y1": ["rows", 1]}
    assert "Slice" not in file.used  # inputs go where they are read, not side by side first


def test_an_output_that_is_called_as_an_input_gets_another_name():
    x, other = fb.Input(3, name="y"), fb.Input(2)
    h = fb.tanh(fb.Linear(5)(fb.concat([x, other])))
    file = read(content(fb.Network(inputs=[x, other], outputs=[fb.Linear(4)(h, name="x1"), fb.Linear(1)(h, name="z")])))
    assert list(file.inputs) == ["y", "x1"]
    assert list(file.outputs) == ["x1_out", "z"]
    assert list(read(content(fb.Network(inputs=x, outputs=fb.Linear(1)(x)))).outputs) == ["y_out"]
    file(y=np.zeros((2, 3), np.float32), x1=np.zeros((2, 2), np.float32))


def test_codes_are_whole_numbers_where_an_input_has_nothing_else_and_numbers_beside_numbers():
    only = fb.Network([fb.Embedding({0: (4, 2), 1: (3, 1)}), fb.Linear(1)], inputs=2)
    mixed = fb.Network([fb.Embedding({1: (4, 2)}), fb.Linear(1)], inputs=2)
    assert read(content(only)).inputs["x"].dtype == np.int64
    assert read(content(mixed)).inputs["x"].dtype == np.float32
    X = np.array([[3, 2], [0, 0]])
    close(read(content(only))(x=X)["y"], only.predict(X), "float32")


def test_no_rows_and_one_row_go_through():
    net, X = model(0, "float32")
    file = read(content(net))
    for count in (0, 1):
        assert next(iter(file(x=X[:count]).values())).shape == (count, net.outputs)


def test_a_trainer_is_what_it_evaluates_and_files_and_folders_are_read(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32), np.zeros((64, 1), np.float32)
    net = fb.mlp([3, 4, 1])
    trainer = fb.Trainer(net, loss="mse", ema=0.9)
    trainer.run(X, y, steps=20)
    close(read(content(trainer))(x=X)["y"], trainer.averaged.predict(X), "float32")
    net.save(tmp_path / "net.safetensors")
    fb.export.onnx(tmp_path / "net.safetensors", tmp_path / "net.onnx", opset=18)
    file = read((tmp_path / "net.onnx").read_bytes())
    assert (file.name, file.opset) == ("net", 18)
    close(file(x=X)["y"], net.predict(X), "float32")


def test_the_same_model_is_the_same_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fb.export.onnx(model(5)[0], tmp_path / name / "f.onnx")
    assert (tmp_path / "a/f.onnx").read_bytes() == (tmp_path / "b/f.onnx").read_bytes()


# Bad input


NET = fb.mlp([2, 3, 1])
CODES = fb.Network([fb.Embedding({0: (4, 2)}), fb.Linear(1)], inputs=1)
MIXED = fb.Network([fb.Embedding({0: (4, 2)}), fb.Linear(1)], inputs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NET, "f.txt"), "`path` must end in `.onnx`, got `f.txt`"),
        ((NET, ".onnx"), "`path` must have a name in front of its ending, got `.onnx`"),
        ((NET, "f\0.onnx"), "`path` must be a path, got `'f\\x00.onnx'`"),
        ((NET, 3), "`path` must be a path, got `3`"),
        ((NET, "f.onnx", False, 12), "`opset` must be from 13 to 28, got `12`"),
        ((NET, "f.onnx", False, 29), "`opset` must be from 13 to 28, got `29`"),
        ((NET, "f.onnx", False, 17.5), "`opset` must be a whole number, got `17.5`"),
        ((NET, "f.onnx", 1), "`jacobian` must be True or False, got `1`"),
        (
            ([NET], "f.onnx"),
            "`model` must be a network, a trainer, a pack, an ensemble, an estimator of fastbp, or a path of one,"
            " got `list`",
        ),
        (
            (CODES, "f.onnx", True),
            "`jacobian` must be False, as all inputs are codes, which have no derivatives, got `True`",
        ),
        (
            (MIXED, "f.onnx", True),
            "`jacobian` must be False, as `x` has columns of codes, which have no derivatives, beside numbers,"
            " got `True`\nhint: codes and numbers may be an `fb.Input` each",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((fb.ConfigError, TypeError)) as caught:
        fb.export.onnx(*arguments)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_nothing_and_numbers_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="wrote, but does not exist"):
        fb.export.onnx(tmp_path / "none", tmp_path / "f.onnx")
    net = fb.mlp([2, 1])
    block = net._parameters.block
    block.write("0.weight", np.array([[np.nan], [0.0]], np.float32))
    with pytest.raises(fb.DataError) as caught:
        fb.export.onnx(net, tmp_path / "f.onnx")
    assert str(caught.value) == "`0.weight` must be finite to be exported, got NaN or infinity"
