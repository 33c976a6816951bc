"""Derivatives as ONNX files: those of networks, in any number of directions."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp as fb
from fastbp.export.gated import gated
from fastbp.export.in_onnx.siblings import siblings_of
from fastbp.export.model import model_of
from tests.export.models import is_network, model
from tests.export.onnx_reader import read

ROWS, FORWARD, ADJOINT, OUTER = 7, 3, 2, 4  # of rows and directions


class Case:
    """A network, its rows and random directions, (rows, directions..., width), of inputs or outputs side by side."""

    def __init__(self, net, X, seed):
        self.net, self.X = net, X if isinstance(X, tuple) else (X,)
        self.rng = np.random.default_rng(seed)
        of = gated(model_of(net))
        self.files = {name: read(data) for name, data in siblings_of(of, (13, 17, 18, 28)[seed % 4], "f").items()}
        self.inputs, self.outputs = list(of.inputs), list(of.outputs)
        self.into, self.out = [x.shape[1] for x in self.X], list(net.graph.splits)
        self.row = np.concatenate(self.X, axis=1)
        self.v = self.drawn(FORWARD, sum(self.into))
        self.u = self.drawn(ADJOINT, sum(self.out))
        self.primal = dict(zip(self.inputs, self.X, strict=True))

    def drawn(self, *shape):
        return self.rng.normal(size=(ROWS, *shape))

    def apart(self, row, widths):
        parts = np.split(row, np.cumsum(widths)[:-1], axis=-1)
        return tuple(parts) if len(parts) > 1 else parts[0]

    def named(self, prefix, value, of_inputs):
        """Directions as a file takes them: side by side in each input."""
        names, widths = (self.inputs, self.into) if of_inputs else (self.outputs, self.out)
        parts = np.split(value, np.cumsum(widths)[:-1], axis=-1)
        return {f"{prefix}_{name}": part.reshape(ROWS, -1) for name, part in zip(names, parts, strict=True)}

    def run(self, kind, *directions):
        given = dict(self.primal)
        for one in directions:
            given |= one
        return self.files[kind](**given)

    def joined(self, found, prefix, directions, of_inputs):
        """What a file gives, as one array."""
        names = self.inputs if of_inputs else self.outputs
        return np.concatenate([found[f"{prefix}_{name}"].reshape(ROWS, *directions, -1) for name in names], axis=-1)

    def jvp(self, v):
        return self.net.jvp(self.apart(self.row, self.into), v)

    def vjp(self, row, u):
        return self.net.vjp(self.apart(row, self.into), u)

    def adjoints(self, row):
        return np.stack([self.vjp(row, self.u[:, a]) for a in range(ADJOINT)], axis=1)


def close(found, wanted, most=1e-12):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=most, atol=most * max(np.abs(wanted).max(), 1e-30))


SEEDS = [seed for seed in range(40) if is_network(seed)]


@pytest.mark.parametrize("seed", SEEDS)
def test_siblings_are_derivatives_of_the_network(seed):
    net, X = model(seed, codes=False)
    of = Case(net, X, seed)
    found = of.joined(of.run("fwd", of.named("fwd", of.v, True)), "fwd", (FORWARD,), False)
    close(found, np.stack([of.jvp(of.v[:, d]) for d in range(FORWARD)], axis=1))
    found = of.joined(of.run("adj", of.named("adj", of.u, False)), "adj", (ADJOINT,), True)
    close(found, of.adjoints(of.row))
    whole = net.jacobian(X)
    blocks = of.run("jac")
    tops, lefts = np.cumsum([0, *of.out]), np.cumsum([0, *of.into])
    for j, out in enumerate(of.outputs):
        for i, into in enumerate(of.inputs):
            block = whole[:, tops[j] : tops[j + 1], lefts[i] : lefts[i + 1]]
            apart = np.einsum("rmn,rs->mrns", block, np.eye(ROWS))  # y and x column by column
            close(blocks[f"jac_{out}_{into}"], apart.reshape(of.out[j] * ROWS, of.into[i] * ROWS))


@pytest.mark.parametrize("seed", SEEDS)
def test_siblings_of_adj_are_its_derivatives(seed):
    net, X = model(seed, codes=False)
    of = Case(net, X, seed)
    moved = of.drawn(FORWARD, ADJOINT, sum(of.out))  # of the cotangents
    given = of.named("adj", of.u, False) | of.named("fwd", of.v, True) | of.named("fwd_adj", moved, False)
    tangents = of.joined(of.run("fwd_adj", given), "fwd_adj", (FORWARD, ADJOINT), True)
    step, wanted = 1e-6, []
    for d in range(FORWARD):
        curved = (of.adjoints(of.row + step * of.v[:, d]) - of.adjoints(of.row - step * of.v[:, d])) / (2.0 * step)
        linear = np.stack([of.vjp(of.row, moved[:, d, a]) for a in range(ADJOINT)], axis=1)
        wanted.append(curved + linear)
    close(tangents, np.stack(wanted, axis=1), 1e-6)
    # The adjoint of the same map: <w, tangents> is <adjoints of w, directions> for every w.
    w = of.drawn(OUTER, ADJOINT, sum(of.into))
    found = of.run("adj_adj", of.named("adj", of.u, False), of.named("adj2_adj", w, True))
    back, seeds = of.joined(found, "adj2", (OUTER,), True), of.joined(found, "adj2_adj", (OUTER, ADJOINT), False)
    left = np.einsum("rdan,rban->rdb", tangents, w)
    right = np.einsum("rdn,rbn->rdb", of.v, back) + np.einsum("rdam,rbam->rdb", moved, seeds)
    close(right, left, 1e-11)


def test_directions_are_named_by_how_many_there_are():
    net = fb.mlp([3, 4, 1], dtype="float64")
    files = {name: read(data) for name, data in siblings_of(gated(model_of(net)), 17, "f").items()}
    shapes = {
        name: {port: of.shape for port, of in {**file.inputs, **file.outputs}.items()} for name, file in files.items()
    }
    x = {"x": ["rows", 3]}
    assert shapes == {
        "jac": x | {"jac_y_x": ["rows", "rows*3"]},
        "fwd": x | {"fwd_x": ["rows", "nfwd*3"], "fwd_y": ["rows", "nfwd"]},
        "adj": x | {"adj_y": ["rows", "nadj"], "adj_x": ["rows", "nadj*3"]},
        "fwd_adj": x
        | {"adj_y": ["rows", "nadj"], "fwd_x": ["rows", "nfwd*3"], "fwd_adj_y": ["rows", "nfwd*nadj"]}
        | {"fwd_adj_x": ["rows", "nfwd*nadj*3"]},
        "adj_adj": x
        | {"adj_y": ["rows", "nadj"], "adj2_adj_x": ["rows", "nadj2*nadj*3"]}
        | {"adj2_x": ["rows", "nadj2*3"], "adj2_adj_y": ["rows", "nadj2*nadj"]},
    }


def test_jacobians_take_as_many_directions_as_inputs_or_outputs_whichever_are_fewer():
    for widths, units in (([3, 4, 1], 1), ([2, 4, 5], 2)):
        file = read(siblings_of(gated(model_of(fb.mlp(widths))), 17, "f")["jac"])
        assert file.constants["units"].shape == (1, units, units)


def test_parameters_stand_in_a_file_once_however_they_are_turned():
    net = fb.mlp([3, 40, 30, 2])
    of = gated(model_of(net))
    bytes_of = {
        name: sum(x.nbytes for x in read(data).constants.values()) for name, data in siblings_of(of, 17, "f").items()
    }
    assert max(bytes_of.values()) < 1.1 * net.flat.nbytes


def test_derivatives_of_many_columns_are_put_together_once():
    """However many columns there are; what the reverse of reverse adds up is in parts that overlap."""
    counts = []
    for inputs in (12, 24):
        net = fb.Network([fb.PBLD(), fb.Linear(8), fb.SELU(), fb.Linear(3)], inputs=inputs)
        files = {name: read(data) for name, data in siblings_of(gated(model_of(net)), 17, "f").items()}
        counts.append({name: sum(node.op in ("Concat", "Pad") for node in file.nodes) for name, file in files.items()})
    for name in ("jac", "fwd", "adj", "fwd_adj"):
        assert counts[0][name] == counts[1][name] < 8


def test_inputs_of_codes_have_no_derivatives_and_others_have():
    code, x = fb.Input(2, name="code"), fb.Input(3, name="x")
    e = fb.Embedding({0: (4, 2), 1: (3, 5)})(code)
    y = fb.Linear(2)(fb.tanh(fb.Linear(6)(fb.concat([e, x]))))
    net = fb.Network(inputs=[code, x], outputs=y, dtype="float64", seed=1)
    files = {name: read(data) for name, data in siblings_of(gated(model_of(net)), 17, "f").items()}
    rng = np.random.default_rng(0)
    codes, X, v = np.array([[3, 1], [0, 2]]), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    assert list(files["fwd"].inputs) == ["code", "x", "fwd_x"]
    wanted = net.jvp((codes, X), (np.zeros((2, 2)), v))
    close(files["fwd"](code=codes, x=X, fwd_x=v)["fwd_y"], wanted)
    assert list(files["jac"].outputs) == ["jac_y_x"]
    assert list(files["adj"].outputs) == ["adj_x"]


def test_an_input_that_is_called_as_a_direction_is_refused(tmp_path):
    x, other = fb.Input(2, name="x"), fb.Input(2, name="fwd_x")
    net = fb.Network(inputs=[x, other], outputs=fb.Linear(1)(fb.concat([x, other])))
    with pytest.raises(fb.ConfigError) as caught:
        fb.export.onnx(net, tmp_path / "f.onnx", jacobian=True)
    must = "must be False, as an input is called `fwd_x`, which a direction would be"
    assert str(caught.value) == f"`jacobian` {must}, got `True`"
    assert list(tmp_path.iterdir()) == []
    fb.export.onnx(net, tmp_path / "f.onnx")


def test_packs_and_ensembles_have_derivatives_of_what_they_predict():
    pack = fb.Pack(fb.mlp([3, 5, 2], activation="tanh", dtype="float64"), n=3, loss="cross_entropy")
    (file,) = (read(data) for name, data in siblings_of(gated(model_of(pack)), 17, "f").items() if name == "jac")
    x, step = np.array([[0.3, -0.2, 0.5]]), 1e-6
    sides = [[pack.predict(x + sign * step * unit)[0] for unit in np.eye(3)] for sign in (1.0, -1.0)]
    close(file(x=x)["jac_y_x"], (np.array(sides[0]) - np.array(sides[1])).T / (2.0 * step), 1e-8)


def test_onnx_runtime_takes_siblings_of_float32_and_all_versions():
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    for seed in SEEDS:
        net, X = model(seed, "float32", codes=False)
        of = Case(net, X, seed)
        data = siblings_of(gated(model_of(net)), (13, 17, 18, 28)[seed % 4], "f")
        for content in data.values():
            onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
        found = runtime.InferenceSession(data["adj"], providers=["CPUExecutionProvider"]).run(
            None, of.primal | {name: u.astype(np.float32) for name, u in of.named("adj", of.u, False).items()}
        )
        given = {f"adj_{name}": part for name, part in zip(of.inputs, found, strict=True)}
        close(of.joined(given, "adj", (ADJOINT,), True), of.adjoints(of.row), 2e-5)
