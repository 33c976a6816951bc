"""Networks of files that are no chains: the same as those written in Python, and as the lists that they are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.config.build import network_of, plan_of
from fastbp.config.text import parse
from fastbp.config.wiring import layer_table
from fastbp.spec.gates import Gate

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(0).normal(size=(9, 64))


def of_file(*layers, embeddings=None, inputs=64):
    """The network of some layers, from a file."""
    text = "data: {source: digits}\nnetwork:\n  layers:\n" + "".join(f"    - {layer}\n" for layer in layers)
    return network_of(plan_of(parse(text)), inputs, 10, embeddings or {})


def same(ours, theirs):
    assert ours.predict(X).tobytes() == theirs.predict(X).tobytes()
    assert [a.tobytes() for a in ours.parameters.values()] == [a.tobytes() for a in theirs.parameters.values()]


def test_a_residual_block_is_that_of_signals():
    x = fb.Input(64)
    h = fb.Linear(8)(x, name="h")
    block = fb.Linear(8)(fb.ReLU()(h))
    theirs = fb.Network(inputs=x, outputs=fb.Linear(10)(h + block))
    ours = of_file(
        "{name: linear, features: 8, as: h}",
        "relu",
        "{name: linear, features: 8, as: block}",
        "{name: add, from: [h, block]}",
        "{name: linear, features: 10}",
    )
    assert list(ours.parameters) == ["h.weight", "h.bias", "block.weight", "block.bias", "4.weight", "4.bias"]
    same(ours, theirs)


def test_a_layer_that_shares_has_the_parameters_of_the_other():
    x, again = fb.Input(64), fb.Linear(64)
    theirs = fb.Network(inputs=x, outputs=fb.Linear(10)(again(fb.Tanh()(again(x, name="a")))))
    ours = of_file("{name: linear, features: 64, as: a}", "tanh", "{share: a}", "{name: linear, features: 10}")
    assert list(ours.parameters) == ["a.weight", "a.bias", "3.weight", "3.bias"]
    same(ours, theirs)


def test_names_change_nothing_but_names():
    plain = of_file("{name: linear, features: 8}", "relu", "{name: linear, features: 10}")
    named = of_file("{name: linear, features: 8, as: a}", "relu", "{name: linear, features: 10, as: b}")
    assert list(named.parameters) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    same(named, plain)


def test_from_the_layer_before_is_the_default():
    plain = of_file("{name: linear, features: 8}", "{name: linear, features: 10}")
    said = of_file("{name: linear, features: 8, from: inputs, as: a}", "{name: linear, features: 10, from: [a]}")
    same(said, plain)


def test_inputs_are_the_rows_behind_the_embeddings():
    net = of_file(
        "{name: linear, features: 5, as: h}",
        "{name: concat, from: [h, inputs]}",
        "{name: linear, features: 10}",
        embeddings={0: (4, 3)},
        inputs=2,
    )
    shapes = {name: value.shape for name, value in net.parameters.items()}
    assert shapes == {"0.column0": (4, 3), "h.weight": (4, 5), "h.bias": (5,), "3.weight": (9, 10), "3.bias": (10,)}


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "concat"])
def test_a_process_that_has_done_nothing_else_knows_gates(name):
    code = (
        "from fastbp.config.build import plan_of\nfrom fastbp.config.text import parse\n"
        f"text = 'data: {{source: digits}}\\nnetwork: {{layers: [{{name: {name}, from: [inputs, inputs]}}]}}'\n"
        "print([layer.kind for layer in plan_of(parse(text)).layers])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"['{name}']\n", "")


@pytest.mark.parametrize("first", ["gates", "layers", "activations", "signals", "graph"])
def test_layers_are_listed_in_one_order_whatever_was_imported_first(first):
    code = f"import fastbp.spec.{first}\nfrom fastbp.config.wiring import layer_table\nprint(*layer_table())"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(layer_table())


def test_gates_come_last():
    table = list(layer_table().items())
    last = [name for name, cls in table if isinstance(cls, type) and issubclass(cls, Gate)]
    assert [name for name, _ in table][-11:][: len(last)] == last
