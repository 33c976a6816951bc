"""C files of several members: what they say together has the bits of packs and ensembles."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError
from fastbp.export.in_c.proof import side_by_side
from tests.export.c_compiled import COMPILERS, Library, any_way, bits, proved
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
