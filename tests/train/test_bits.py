"""The same bits for any number of threads, any width of vectors, any threading layer and any cut into calls."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.train import bits, first_step

ROOT = Path(__file__).parents[2]

# SHA-256 of all parameters after 200 steps. They are the same on every machine: a change here is a change for users.
GOLDEN = {
    ("small", "float32"): "38f72e932be76f7c463da15b61d34670a08334d1f30511b941ea9f68210b0299",
    ("small", "float64"): "6d32ef32d2b5c68f985794c382e825fc46375cdb8d04173d4acb950afd376696",
    ("wide", "float32"): "e8053afac35b69e5f91aaf937281b88517f87a4069343e20b6af090d8e9909d3",
    ("wide", "float64"): "f2a2f5b22d2b2f93828ef25e2adb9a5a0984b510a5965b6f2891d0caf8991ce5",
    ("heavy", "float32"): "7b845b6c4920e9f1701868d0ffcc889a6f6e5346d5039dba4ce91afc58908cce",
    ("heavy", "float64"): "4c2fbc99476af0a161682749631542c17bb358269bde322281a31c31d9c221b0",
}  # fmt: skip

every_net = pytest.mark.parametrize("name", bits.SIZES)
every_dtype = pytest.mark.parametrize("dtype", bits.DTYPES)


@cache
def in_process(lanes, layer, serial_work):
    """The digests of a process with registers of so many float32 and this threading layer."""
    env = {**os.environ, "FASTBP_LANES": lanes, "NUMBA_THREADING_LAYER": layer, "FASTBP_QUIET": "1"}
    env["NUMBA_NUM_THREADS"] = "3"
    code = [sys.executable, "-m", "tests.train.bits", str(serial_work)]
    done = subprocess.run(code, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    if "No threading layer could be loaded" in done.stderr:
        pytest.skip(f"this machine has no threading layer {layer}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@every_dtype
@every_net
@pytest.mark.parametrize(
    ("lanes", "layer"),
    [("", "omp"), ("", "workqueue"), ("16", "default"), ("8", "default"), ("4", "default")],
    ids=["omp", "workqueue", "16-lanes", "8-lanes", "4-lanes"],
)
def test_threads_lanes_and_layers_change_no_bit(lanes, layer, name, dtype):
    found = in_process(lanes, layer, 0)
    assert layer in (found["layer"], "default")
    for threads in (1, 2, 3):
        assert found[f"{name} {dtype} {threads}"] == GOLDEN[name, dtype], found["explained"][f"{name} {dtype}"]
        assert found[f"{name} {dtype} {threads} used"] == [threads]


@every_dtype
@every_net
def test_a_network_that_is_large_enough_takes_its_threads_by_itself(name, dtype):
    found = in_process("", "default", 200_000)
    for threads in (1, 2, 3):
        assert found[f"{name} {dtype} {threads}"] == GOLDEN[name, dtype], found["explained"][f"{name} {dtype}"]
        assert found[f"{name} {dtype} {threads} used"] == [1 if name == "small" else threads]


@every_dtype
@every_net
@pytest.mark.parametrize("calls", [1, 20, 200])
def test_a_run_cut_into_calls_has_the_bits_of_one(calls, name, dtype):
    found = bits.train(name, dtype, threads=1, calls=calls)
    assert found == GOLDEN[name, dtype], first_step.explained(f"{name} {dtype}", *bits.case(name, dtype))


@pytest.mark.parametrize(("name", "layered"), [("wide", False), ("heavy", True)])
def test_the_networks_take_both_kinds_of_phases(name, layered):
    assert bits.is_layered(name) is layered


@every_dtype
def test_one_step_less_has_another_digest(dtype, monkeypatch):
    monkeypatch.setattr(bits, "STEPS", bits.STEPS - 1)
    assert bits.train("small", dtype, threads=1) != GOLDEN["small", dtype]


@every_dtype
def test_the_networks_learn(dtype):
    """Digests of numbers that went nowhere would prove little."""
    for name in bits.SIZES:
        one = bits.trainer(name, dtype, threads=1)
        X, y = bits.data(name, one.net.outputs)
        before = one.net.evaluate(X, y, loss=one.loss)
        one.run(X, y, steps=bits.STEPS)
        assert one.net.evaluate(X, y, loss=one.loss) < 0.97 * before
