"""`fastbp show` of a configuration and of a network: a table of layers."""

import json
from pathlib import Path

import pytest

import fastbp as fb
from fastbp.cli.main import main

CHAIN = """layer          in  out  parameters
0 Linear        2    4          12
1 BatchNorm     4    4           8
2 ReLU          4    4           0
3 Linear        4    2          10
total                           30
"""
BRANCHED = """layer   from     in  out  parameters
0 Linear  inputs    2    3           9
1 ReLU    0         3    3           0
2 Concat  0, 1      6    6           0
3 Linear  2         6    2          14
total                               23
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("data: {source: moons, rows: 60}\nnetwork: {hidden: [4], norm: batch_norm}\n")


def network():
    return fb.Network([fb.Linear(4), fb.BatchNorm(), fb.ReLU(), fb.Linear(2)], inputs=2)


@pytest.mark.parametrize("name", ["c.yaml", "net.safetensors"])
def test_the_layers_of_a_file_are_a_table(name, capsys):
    network().save("net.safetensors")
    assert main(["show", name]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [x.split() for x in CHAIN.splitlines()]
    assert main(["show", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == 30
    assert [(layer["layer"], layer["outputs"]) for layer in found["layers"]] == [
        ("Linear", 4),
        ("BatchNorm", 4),
        ("ReLU", 4),
        ("Linear", 2),
    ]


def test_layers_that_are_no_chain_say_what_they_read(capsys):
    x = fb.Input(2)
    h = fb.Linear(3)(x)
    fb.Network(inputs=x, outputs=fb.Linear(2)(fb.concat([h, fb.relu(h)]))).save("net.safetensors")
    assert main(["show", "net.safetensors"]) == 0
    assert [x.split() for x in capsys.readouterr().out.splitlines()] == [x.split() for x in BRANCHED.splitlines()]
