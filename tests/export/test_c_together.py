"""C files of several members: what they say together has the bits of packs and ensembles."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.errors import ConfigError
from fastbp.export.in_c.together import side_by_side
from tests.export.c_compiled import COMPILERS, Library, any_way, bits, compiled, proved
from tests.export.models import LOSSES, model

if not COMPILERS.keys() & {"gcc", "clang"}:
    pytest.skip("no C compiler on this machine", allow_module_level=True)


@pytest.mark.parametrize("seed", range(48))
def test_models_of_every_kind_have_the_same_bits(seed, tmp_path):
    dtype = ("float32", "float64")[(seed + seed // 8) % 2]
    made, rows = model(seed, dtype)
    fb.export.c(made, tmp_path / "net.c")
    wanted = side_by_side(made.predict(rows))
    joined = np.concatenate(rows, axis=1) if isinstance(rows, tuple) else rows
    x = np.asarray(joined, dtype)
    found = Library(any_way(), tmp_path / "net.c", tmp_path)("predict", wanted.shape[1], x)
    assert found.dtype == wanted.dtype
    assert np.array_equal(bits(found), bits(wanted))


@pytest.mark.parametrize("loss", LOSSES)
def test_packs_prove_themselves(loss, tmp_path):
    layers = [fb.Linear(9), fb.Tanh(), fb.Linear({"gaussian_nll": 4}.get(loss, 2))]
    pack = fb.Pack(fb.Network(layers, inputs=3, seed=0), n=2, loss=loss)
    fb.export.c(pack, tmp_path / "net.c")
    assert proved(tmp_path / "net.c", "gcc -O2")[0] == 0
    assert proved(tmp_path / "net.c", "clang -O2")[0] == 0


def test_derivatives_of_several_members_are_refused_in_one_sentence(tmp_path):
    pack = fb.Pack(fb.mlp([3, 4, 2]), n=2, loss="mse")
    must = "must be False for several members, of whose predictions together C has no derivatives, got `True`"
    for name in ("jacobian", "casadi"):
        with pytest.raises(ConfigError) as error:
            fb.export.c(pack, tmp_path / "net.c", **{name: True})
        assert str(error.value) == f"`{name}` {must}"


FOLDS = """
name: run
data: {{path: t.csv, target: {target}}}
network: {{hidden: [8]}}
trainer: {{epochs: 3, loss: {loss}}}
pack: {{members: 1, folds: 3}}
"""


class Row(ctypes.Structure):
    """A row of the table."""

    _fields_ = [("age", ctypes.c_double), ("city", ctypes.c_char_p)]


class Said(ctypes.Structure):
    """What is said of classes."""

    _fields_ = [("label", ctypes.c_int), ("probabilities", ctypes.c_double * 2)]


@pytest.fixture
def folds(tmp_path, monkeypatch):
    """What trains a pack on folds, whose members prepare rows in different ways; the model, its rows and its C."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = {"age": rng.normal(50.0, 12.0, 90).round(1), "city": rng.choice(["Oslo", "Rome", "Bern"], 90)}
    targets = {
        "granted": np.where(rows["age"] + 10.0 * (rows["city"] == "Rome") > 53.0, "yes", "no"),
        "cost": 3e3 + 9.0 * rows["age"],
    }

    def made(target, loss):
        Path("c.yaml").write_text(FOLDS.format(target=target, loss=loss))
        lines = [",".join(map(str, row)) for row in zip(*rows.values(), targets[target], strict=True)]
        Path("t.csv").write_text("\n".join([f"age,city,{target}", *lines]) + "\n")
        assert main(["train", "c.yaml", "-q"]) == 0
        (run,) = Path("runs").iterdir()
        model = fb.load(run)
        assert len(model.ways) == 3
        fb.export.c(model, "net.c")
        assert proved(Path("net.c"), any_way())[0] == 0
        compiled(any_way(), Path("net.c"), Path("net.so"), "-shared", "-fPIC")
        return model, rows, ctypes.CDLL(str(tmp_path / "net.so"))

    return made


def each(library, rows, said):
    """What the library says of each row."""
    for age, city in zip(rows["age"], rows["city"], strict=True):
        assert library.net_predict_row(ctypes.byref(Row(age, city.encode())), ctypes.byref(said)) == 0
        yield said


def test_members_may_prepare_rows_in_different_ways(folds):
    model, rows, library = folds("granted", "cross_entropy")
    wanted = model.predict(rows, probabilities=True)
    found = [(one.label, *one.probabilities) for one in each(library, rows, Said())]
    assert [("no", "yes")[label] for label, _, _ in found] == wanted["granted"].tolist()
    for i, name in enumerate(("granted = no", "granted = yes")):
        assert [one[1 + i] for one in found] == wanted[name].astype(float).tolist()


@pytest.mark.parametrize("loss", ["mse", "gaussian_nll"])
def test_and_may_have_targets_of_different_scales(loss, folds):
    model, rows, library = folds("cost", loss)
    assert any(scale is not None for scale in model._scales)
    found = [one.value for one in each(library, rows, ctypes.c_double())]
    assert found == model.predict(rows)["cost"].astype(float).tolist()
