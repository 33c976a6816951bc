"""Networks as tensors and programs of PyTorch."""

import re
from inspect import signature
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff import graph
from fastbp.export.in_torch import tensors
from fastbp.export.in_torch.formulas import GATES
from fastbp.export.in_torch.modules import EXPRESSIONS, LAYERS
from fastbp.kernels.gates import FORMULAS
from fastbp.spec import catalogue
from fastbp.spec.activations import Activation
from tests.export import numpy_torch
from tests.export.networks import NETWORKS, network

ELEMENTWISE = [gate for gate in FORMULAS if gate in graph.GATES]
CLOSE = {"float32": 1e-6, "float64": 1e-12}


def by_torch(program, X):
    """What the network of a program says in PyTorch."""
    torch = pytest.importorskip("torch")
    names = {}
    exec(compile(program, "program", "exec"), names)
    with torch.no_grad():
        y = names["net"](torch.from_numpy(X))
    return [one.numpy() for one in (y if isinstance(y, tuple) else (y,))]


def by_numpy(program, X):
    """What it says with NumPy in the place of PyTorch."""
    with np.errstate(all="ignore"):
        y = numpy_torch.loaded(program)(numpy_torch.of(X))
    return [np.asarray(one) for one in (y if isinstance(y, tuple) else (y,))]


@pytest.mark.parametrize("by", [by_torch, by_numpy])
@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_predicts_what_the_network_does(name, dtype, by, tmp_path):
    net, X = network(name, dtype)
    found, expected = by(fb.export.torch(net, tmp_path / "net.safetensors"), X), net.predict(X)
    for y, must in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
        assert y.dtype == must.dtype
        assert y.shape == must.shape
        assert np.abs(y - must).max() <= CLOSE[dtype] * max(1.0, np.abs(must).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_tensors_are_those_of_the_program_in_pytorch(name, tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file

    net, _ = network(name)
    names = {}
    exec(fb.export.torch(net, tmp_path / "net.safetensors"), names)
    found, expected = load_file(tmp_path / "net.safetensors"), names["net"].state_dict()
    assert {key: tuple(t.shape) for key, t in found.items()} == {key: tuple(t.shape) for key, t in expected.items()}


def test_every_layer_can_be_said_in_pytorch():
    layers = {kind for kind, made in catalogue.LAYERS.items() if not issubclass(made, Activation)}
    assert {*LAYERS, *EXPRESSIONS} == layers


CHAIN = """\
from safetensors.torch import load_file
from torch import nn

net = nn.Sequential(
    nn.Linear(2, 4),
    nn.BatchNorm1d(4, eps=1e-05, momentum=0.1),
    nn.Tanh(),
    nn.Dropout(0.1),
    nn.Linear(4, 1, bias=False),
)
net.load_state_dict(load_file("net.safetensors"))
net.eval()
"""


def test_a_chain_is_a_sequential_whose_tensors_have_the_numbers_of_its_layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = [fb.Linear(4), fb.BatchNorm(), fb.Tanh(), fb.Dropout(0.1), fb.Linear(1, bias=False)]
    net = fb.Network(layers, inputs=2)
    assert fb.export.torch(net, "net.safetensors") == CHAIN
    found = tensors.read(tmp_path / "net.safetensors")
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "0.weight": ("float32", (4, 2)),
        "0.bias": ("float32", (4,)),
        "1.weight": ("float32", (4,)),
        "1.bias": ("float32", (4,)),
        "1.running_mean": ("float32", (4,)),
        "1.running_var": ("float32", (4,)),
        "1.num_batches_tracked": ("int64", ()),
        "4.weight": ("float32", (1, 4)),
    }
    assert np.array_equal(found["0.weight"], net.parameters["0.weight"].T)
    assert found.words == {"format": "pt"}


def test_what_is_no_layer_of_pytorch_is_a_function_in_a_chain(tmp_path):
    net = fb.Network([fb.Linear(6), fb.Slice(1, 4), fb.Affine(0.5, -1.0)], inputs=2)
    program = fb.export.torch(net, tmp_path / "net.safetensors")
    assert "def formula_1(x):\n    return x[..., 1:4]\n\n\ndef formula_2(x):\n    return 0.5 * x + -1.0\n" in program
    assert "    nn.Linear(2, 6),\n    Formula(formula_1),\n    Formula(formula_2),\n)" in program
    assert sorted(tensors.read(tmp_path / "net.safetensors")) == ["0.bias", "0.weight"]


BRANCHES = """\
import torch
from safetensors.torch import load_file
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({
            "0": nn.Linear(3, 3),  # first
            "1": nn.ReLU(),
        })

    def forward(self, x):
        x0 = self.layers["0"](x)
        x1 = self.layers["1"](x0)
        x2 = x1 + x
        x3 = torch.cat([x2, x], -1)
        return x3


net = Net()
net.double()
net.load_state_dict(load_file("net.safetensors"))
net.eval()
"""


def test_a_network_with_branches_is_a_class_with_a_line_for_each_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = fb.Input(3)
    net = fb.Network(inputs=x, outputs=fb.concat([fb.relu(fb.Linear(3)(x, name="first")) + x, x]), dtype="float64")
    assert fb.export.torch(net, "net.safetensors") == BRANCHES
    assert sorted(tensors.read(tmp_path / "net.safetensors")) == ["layers.0.bias", "layers.0.weight"]


def test_what_is_used_again_is_one_module(tmp_path):
    net, _ = network("branches")
    program = fb.export.torch(net, tmp_path / "net.safetensors")
    assert len(tensors.read(tmp_path / "net.safetensors")) == len(net.parameters)
    assert program.count("nn.Linear(") == len([name for name in net.parameters if name.endswith("bias")])


def test_each_column_of_many_edges_is_a_line(tmp_path):
    edges = {0: [-1.0, 0.5, 2.0], 2: [0.1 * i for i in range(20)]}
    chain = fb.Network([fb.PiecewiseLinear(edges), fb.Linear(1)], inputs=3, dtype="float64")
    x = fb.Input(3)
    branches = fb.Network(inputs=x, outputs=fb.concat([fb.PiecewiseLinear(edges)(x), x]), dtype="float64")
    text = f"PiecewiseLinear({{\n    0: [-1.0, 0.5, 2.0],\n    2: {edges[2]},\n}}),\nnn.Linear("
    path = tmp_path / "net.safetensors"
    assert indent(text, "    ") in fb.export.torch(chain, path)
    for net in (chain, branches):
        X = np.random.default_rng(0).normal(size=(5, 3))
        assert np.abs(by_numpy(fb.export.torch(net, path), X)[0] - net.predict(X)).max() < 1e-14


def test_a_formula_is_a_function_and_the_same_one_stands_once(tmp_path):
    layers = [
        fb.activation("x * sigmoid(2 * x)"),
        fb.Linear(1),
        fb.activation("x * sigmoid(2 * x)"),
        fb.activation("exp(-x)"),
    ]
    program = fb.export.torch(fb.Network(layers, inputs=2), tmp_path / "net.safetensors")
    assert program.count("def formula_") == 2
    assert (
        "def formula_1(x):\n    z1 = x * 2.0\n    z2 = torch.sigmoid(z1)\n    z3 = x * z2\n    return z3\n" in program
    )
    assert "Formula(formula_1),\n    nn.Linear(2, 1),\n    Formula(formula_1),\n    Formula(formula_2),\n" in program


def test_every_gate_of_a_formula_can_be_said_in_pytorch():
    assert {*GATES} == {*ELEMENTWISE}


def of_one_gate(gate):
    """An activation that is one gate, of z and of numbers."""
    given = [["argument"], ["constant", 0.75], ["constant", -1.5], ["less", 0, 1]]
    inputs = {1: [0], 2: [0, 1], 3: [3, 0, 2]}[len(signature(FORMULAS[gate]).parameters)]
    return fb.activation([*given, [gate, *inputs], ["add", 4, 0]])


@pytest.mark.parametrize("by", [by_torch, by_numpy])
@pytest.mark.parametrize("gate", ELEMENTWISE)
def test_every_gate_is_what_it_is_in_pytorch(gate, by, tmp_path):
    net = fb.Network([of_one_gate(gate)], inputs=7, dtype="float64")
    rows = {"power": [0.25, 0.75, 1.5, 2.0, 30.0, 0.0, np.nan]}
    X = np.array([rows.get(gate, [-30.0, -1.5, -0.5, 0.75, 2.0, 50.0, 0.0])])
    (found,) = by(fb.export.torch(net, tmp_path / "net.safetensors"), X)
    assert found == pytest.approx(net.predict(X), rel=1e-14, nan_ok=True)


def test_a_gate_that_pytorch_does_not_have_is_said(tmp_path, monkeypatch):
    monkeypatch.delitem(GATES, "hypot")
    net = fb.Network([fb.activation(lambda x: np.hypot(x, 1.0))], inputs=1)
    assert refused(net, tmp_path / "net.safetensors") == (
        "`activation` must be made of what PyTorch has too, got `hypot`"
    )


def test_numbers_of_a_formula_that_python_has_no_words_for_are_said(tmp_path):
    torch = pytest.importorskip("torch")
    made = fb.activation(
        [["argument"], ["constant", float("inf")], ["constant", -2.0], ["minimum", 0, 1], ["multiply", 3, 2]]
    )
    net = fb.Network([made], inputs=2)
    names = {}
    exec(fb.export.torch(net, tmp_path / "net.safetensors"), names)
    assert names["net"](torch.tensor([[1.0, -3.0]])).tolist() == [[-2.0, 6.0]] == net.predict([[1.0, -3.0]]).tolist()


def test_a_path_is_quoted_in_the_program(tmp_path):
    path = tmp_path / 'a"b\\c.safetensors'
    program = fb.export.torch(fb.mlp([1, 1]), path)
    (argument,) = [
        line.removeprefix("net.load_state_dict(load_file(")[:-2]
        for line in program.splitlines()
        if "load_file(" in line
    ]
    assert eval(argument) == str(path)


def test_a_trained_network_goes_on_in_pytorch_with_the_numbers_of_its_trainer(tmp_path):
    net = fb.mlp([2, 4, 1], seed=0)
    trainer = fb.Trainer(net, loss="mse", ema=0.9)
    trainer.run(np.ones((8, 2)), np.ones((8, 1)), steps=3)
    fb.export.torch(trainer, tmp_path / "net.safetensors")
    found = tensors.read(tmp_path / "net.safetensors")["0.weight"]
    assert np.array_equal(found, trainer.evaluated.parameters["0.weight"].T)
    assert not np.array_equal(found, net.parameters["0.weight"].T)


PAGE = (
    (Path(__file__).parents[2] / "docs" / "export.md").read_text().partition("\n## PyTorch\n")[2].partition("\n## ")[0]
)
SHOWN = re.findall(r"```python\n(import .*?)```\n\n```text\n(.*?)\n*```", PAGE, re.DOTALL)


@pytest.mark.parametrize("of", range(2))
def test_the_programs_of_the_page_print_what_stands_below_them(of, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(SHOWN) == 2
    program, shown = SHOWN[of]
    exec(compile(program, "export.md", "exec"), {})
    assert capsys.readouterr().out.rstrip("\n") == shown


def test_weights_of_dense_layers_of_keras_are_taken_as_the_page_says():
    (program,) = [found for found in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "get_weights" in found]

    class Model:
        def get_weights(self):
            rng = np.random.default_rng(0)
            return [rng.normal(size=shape) for shape in ((4, 3), (3,), (3, 2), (2,))]

    net = fb.mlp([4, 3, 2], activation="tanh", dtype="float64")
    exec(program, {"net": net, "model": Model()})
    w, b, v, c = Model().get_weights()
    x = np.ones(4)
    assert np.allclose(net.predict(x), np.tanh(x @ w + b) @ v + c, rtol=1e-14)


def refused(model, path):
    with pytest.raises(fb.FastbpError) as info:
        fb.export.torch(model, path)
    return str(info.value)


def test_what_is_not_one_network_is_refused(tmp_path):
    pack = fb.Pack([fb.mlp([2, 1], seed=i) for i in range(2)], loss="mse")
    file = tmp_path / "net.safetensors"
    assert refused(pack.ensemble(), file) == (
        "`model` must be one network for PyTorch, got `2`\nhint: ONNX takes those that predict together"
    )
    assert refused(None, file).startswith("`model` must be a network, ")
    assert not file.exists()
    assert refused(fb.mlp([2, 1]), tmp_path / "net.pt") == "`path` must end in `.safetensors`, got `net.pt`"


def test_a_network_is_not_written_over_by_its_tensors(tmp_path):
    file = tmp_path / "net.safetensors"
    net = fb.mlp([2, 1])
    net.save(file)
    assert refused(file, file) == f"`path` must be another file than one of fastbp, which would be lost, got `{file}`"
    assert np.array_equal(fb.load(file).flat, net.flat)
    for _ in range(2):
        fb.export.torch(net, tmp_path / "tensors.safetensors")


def test_a_network_of_one_nan_is_not_written(tmp_path):
    net = fb.mlp([2, 1])
    net.parameters.block.write("0.bias", np.array([np.nan], np.float32))
    assert refused(net, tmp_path / "net.safetensors") == "`0.bias` must be finite to be exported, got NaN or infinity"
    assert list(tmp_path.iterdir()) == []
