"""C files as functions of CasADi: values and derivatives as `net` has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from tests.export.c_compiled import COMPILERS, CPP, any_way, compiled, proved
from tests.export.c_networks import NETWORKS, shaken

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
if not COMPILERS.keys() & {"gcc", "clang"}:
    pytest.skip("no C compiler on this machine", allow_module_level=True)

SYMBOLS = [
    "",
    "_n_in",
    "_n_out",
    "_name_in",
    "_name_out",
    "_sparsity_in",
    "_sparsity_out",
    "_work",
    "_incref",
    "_decref",
]


@every_dtype
@pytest.mark.parametrize("name", NETWORKS)
def test_casadi_has_the_bits_of_values_and_derivatives(name, dtype, tmp_path):
    casadi = pytest.importorskip("casadi")
    net = shaken(NETWORKS[name](dtype))
    fb.export.c(net, tmp_path / "net.c", casadi=True)
    library = tmp_path / "net.so"
    compiled(any_way(), tmp_path / "net.c", library, "-shared", "-fPIC")
    f = casadi.external("net", str(library))
    assert (f.size_in(0), f.size_out(0), f.name_in(), f.name_out()) == ((net.inputs, 1), (net.outputs, 1), ["x"], ["y"])
    x = np.random.default_rng(0).normal(size=net.inputs).astype(dtype)
    u, v = np.linspace(-1.0, 1.0, net.outputs).astype(dtype), np.linspace(1.0, 2.0, net.inputs).astype(dtype)
    X = casadi.MX.sym("x", net.inputs)
    J = casadi.Function("J", [X], [casadi.jacobian(f(X), X)])  # by whichever of the derivatives CasADi likes
    np.testing.assert_allclose(np.array(J(x.astype(float))), net.jacobian(x), rtol=1e-3, atol=1e-5)
    forward = casadi.Function("d", [X], [casadi.jtimes(f(X), X, casadi.DM(v.astype(float)))])
    reverse = casadi.Function("d", [X], [casadi.jtimes(f(X), X, casadi.DM(u.astype(float)), True)])
    given = x.astype(float)
    for found, wanted in (
        (f(given), net.predict(x)),
        (f.jacobian()(given, 0), net.jacobian(x)),
        (forward(given), net.jvp(x, v)),
        (reverse(given), net.vjp(x, u)),
    ):
        assert np.array_equal(np.array(found).reshape(wanted.shape), wanted.astype(float))


def test_c_that_casadi_generates_calls_the_file(tmp_path, monkeypatch):
    casadi = pytest.importorskip("casadi")
    monkeypatch.chdir(tmp_path)
    fb.export.c(shaken(NETWORKS["norms"]("float64")), "net.c", casadi=True)
    compiled(any_way(), Path("net.c"), Path("net.so"), "-shared", "-fPIC")
    net, x = casadi.external("net", "./net.so"), casadi.MX.sym("x", 3)
    g = casadi.Function("g", [x], [net(x), casadi.gradient(casadi.sumsqr(net(x)), x), casadi.jacobian(net(x), x)])
    g.generate("g.c")
    assert "adj1_net(" in Path("g.c").read_text()
    compiler = any_way().split()[0]
    command = [compiler, "-O1", "-ffp-contract=off", "-shared", "-fPIC", "g.c", "net.c", "-o", "g.so", "-lm"]
    subprocess.run(command, check=True)
    at = np.array([0.3, -0.2, 0.5])
    for found, wanted in zip(casadi.external("g", "./g.so")(at), g(at), strict=True):
        assert np.array_equal(np.array(found), np.array(wanted))


def test_all_functions_are_there_by_their_names(tmp_path):
    fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c", casadi=True)
    compiled(any_way(), tmp_path / "net.c", tmp_path / "net.so", "-shared", "-fPIC")
    code = "import ctypes, sys; net = ctypes.CDLL(sys.argv[1]); print([getattr(net, s)() for s in sys.argv[2:]])"
    counts = [f"{f}net_n_in" for f in ("", "jac_", "fwd1_", "adj1_")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.so"), *counts], capture_output=True, text=True
    )
    assert done.stdout == "[1, 2, 3, 3]\n"
    text = (tmp_path / "net.c").read_text()
    for f in ("net", "jac_net", "fwd1_net", "adj1_net"):
        assert all(f" {f}{symbol}(" in text or f"*{f}{symbol}(" in text for symbol in SYMBOLS)


@pytest.mark.parametrize(("way", "standard"), [("gcc -O2", "-std=c99"), ("clang -O1", "-std=c99"), *CPP])
def test_the_file_is_without_a_warning(way, standard, tmp_path):
    fb.export.c(NETWORKS["tanh"]("float32"), tmp_path / "net.c", casadi=True)
    assert proved(tmp_path / "net.c", way, standard=standard)[0] == 0


def test_an_argument_that_is_not_there_is_zeros_and_a_result_that_is_not_asked_for_is_not_written(tmp_path):
    net = shaken(NETWORKS["tanh"]("float64"))
    fb.export.c(net, tmp_path / "net.c", casadi=True)
    compiled(any_way(), tmp_path / "net.c", tmp_path / "net.so", "-shared", "-fPIC")
    code = """
import ctypes, sys
net, outputs = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
y = (ctypes.c_double * outputs)()
for asked in (None, ctypes.cast(y, ctypes.c_void_p)):
    net.net((ctypes.c_void_p * 1)(None), (ctypes.c_void_p * 1)(asked), None, None, 0)
    print(*(number.hex() for number in y))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "net.so"), str(net.outputs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    unasked, asked = (list(map(float.fromhex, line.split())) for line in done.stdout.splitlines())
    assert unasked == [0.0] * net.outputs
    assert asked == net.predict(np.zeros(net.inputs)).tolist()
