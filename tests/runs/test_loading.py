"""`fb.load` of a run's folder: the best network, which predicts raw tables as `fastbp predict` does."""

import csv
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main

CONFIG = """
data: {path: t.csv, target: kind, missing: mean}
network: {hidden: [8], norm: batch_norm}
trainer: {epochs: 20, optimizer: {name: adam, lr: 0.05}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("loading")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        rows = [(f"{a:.3f}" if i % 9 else "", "rgb"[i % 3]) for i, a in enumerate(rng.normal(50.0, 20.0, 120))]
        lines = [f"{a},{c},{'high' if float(a or 50) > 50 else 'low'}" for a, c in rows]
        Path("t.csv").write_text("size,colour,kind\n" + "\n".join(lines) + "\n")
        Path("c.yaml").write_text(CONFIG)
        assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
    return path


@pytest.fixture
def net(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return fb.load("run")


def said(capsys, *options):
    """What the command predicts."""
    capsys.readouterr()
    assert main(["predict", "run", "t.csv", *options]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    return {name: [row[name] for row in rows] for name in rows[0]}


def table():
    with open("t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {"size": [float(r["size"] or "nan") for r in rows], "colour": [r["colour"] for r in rows]}


def test_a_run_s_folder_is_its_best_network(net):
    best = fb.load(Path("run") / "best.safetensors")
    assert isinstance(net, fb.Network)
    assert net.flat.tobytes() == best.flat.tobytes() != fb.load("run/last.safetensors").flat.tobytes()
    X = np.random.default_rng(1).normal(size=(5, net.inputs)).astype(np.float32)
    assert net.predict(X).tobytes() == best.predict(X).tobytes()
    assert net.predict(X).shape == (5, 2)


@pytest.mark.parametrize("kind", ["path", "paths", "dict", "texts", "objects", "polars"])
def test_raw_tables_are_predicted_as_the_command_predicts_them(net, kind, capsys):
    expected = said(capsys)["kind"]
    assert set(expected) == {"high", "low"}
    columns = table()
    if kind == "polars":
        given = pytest.importorskip("polars").DataFrame(columns)
    elif kind == "texts":
        given = {**columns, "size": ["" if v != v else str(v) for v in columns["size"]]}
    elif kind == "objects":
        sizes = [None if v != v else v for v in columns["size"]]
        given = {"colour": np.array(columns["colour"], object), "size": np.array(sizes, object)}
    else:
        given = {"path": "t.csv", "paths": [Path("t.csv")], "dict": columns}[kind]
    assert net.predict(given)["kind"].tolist() == expected


def test_probabilities_of_classes_are_columns(net, capsys):
    expected = said(capsys, "--probabilities")
    found = net.predict(table(), probabilities=True)
    assert list(found) == list(expected)
    for name in list(found)[1:]:
        assert [str(v) for v in found[name]] == expected[name]


def test_a_copy_in_another_process_predicts_tables_too(net):
    again = pickle.loads(pickle.dumps(net))
    assert again.predict(table())["kind"].tolist() == net.predict(table())["kind"].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: net.predict({"size": [1.0]}), "X: there must be a column `colour`, got `size`"),
        (lambda net: net.predict({"size": [1.0], "colour": ["r", "g"]}),
         "`X` must have columns of one length, got `1` and `2`"),
        (lambda net: net.predict({"size": ["x1"], "colour": ["r"]}),
         "X: row 0: column `size` must be a number, got `x1`"),
        (lambda net: net.predict({"size": ["soon"], "colour": ["r"]}),
         "X: row 0: column `size` must be a number, got `soon`\nhint: a missing number is None or NaN"),
        (lambda net: net.predict({}), "`X` must be a table with columns, got none"),
        (lambda net: net.predict("t.csv", out=np.zeros((1, 2))),
         "`out` must be given with an array only, as predictions for a table are columns"),
        (lambda net: net.predict(np.zeros((1, 4)), probabilities=True),
         "`probabilities` must be given with a table only, as an array gets raw outputs"),
        (lambda net: fb.load("."), "`.` must be a network's file or the folder of a run with `best.safetensors`"),
    ],
)  # fmt: skip
def test_what_is_refused(net, call, message):
    with pytest.raises(fb.FastbpError) as info:
        call(net)
    assert str(info.value) == message


def test_a_file_that_cannot_be_read_may_be_given_as_a_table(net):
    Path("latin.csv").write_bytes("size,colour\n1,rosé\n".encode("latin-1"))
    for name, message in (
        ("latin.csv", "latin.csv:2: must be UTF-8, got a byte `0xe9`\n"
                      "hint: a table that pandas or Polars reads may be given instead of a file"),
        ("tt.csv", "tt.csv: must be a file, but does not exist\nhint: did you mean `t.csv`?"),
    ):  # fmt: skip
        with pytest.raises(fb.DataError) as info:
            net.predict(name)
        assert str(info.value) == message


def test_a_network_without_a_recipe_is_a_plain_one(tmp_path):
    fb.mlp([2, 3, 1]).save(tmp_path / "best.safetensors")
    assert type(fb.load(tmp_path)) is fb.Network


def test_probabilities_are_those_of_a_table_s_columns_by_the_loss_of_training(net):
    found = net.predict(table(), probabilities=True)
    columns = np.stack([v for name, v in found.items() if np.asarray(v).dtype.kind == "f"], axis=1)
    assert np.allclose(net.probabilities(table()), columns, atol=1e-6)
    assert np.array_equal(net.predict_proba(table()), net.probabilities(table()))
    X = np.random.default_rng(1).normal(size=(5, net.inputs)).astype(np.float32)
    assert np.array_equal(net.probabilities(X), fb.Network.probabilities(net, X, loss="cross_entropy"))


def test_a_pickled_network_of_a_run_is_one(net):
    again = pickle.loads(pickle.dumps(net))
    assert type(again) is type(net)
    assert again.file == net.file
    assert np.array_equal(again.probabilities(table()), net.probabilities(table()))
