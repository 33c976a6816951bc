"""The self-test: its answers are those of this machine, it vouches for every kernel, and it is asked once."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.engine import compiler
from fastbp.train import self_test

ROOT = Path(__file__).parents[2]
FILE = ROOT / "scripts" / "known_answers.py"
spec = importlib.util.spec_from_file_location("known_answers", FILE)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


@pytest.mark.parametrize("dtype", compiler.REALS)
@pytest.mark.parametrize("case", self_test.cases())
def test_each_answer_is_the_known_one(case, dtype):
    assert self_test.digest(case, dtype) == self_test.known()[case][dtype]


def test_every_case_has_an_answer_and_every_answer_a_case():
    assert list(self_test.known()) == list(self_test.cases())


def test_every_kernel_is_vouched_for_once():
    named = [kernel for answer in self_test.known().values() for kernel in answer["kernels"]]
    assert len(named) == len(set(named))
    ours = {name for name in compiler._kernels() if "custom_" not in name and compiler.computes(name)}
    assert set(named) == ours - {"multiply_vjp"}  # which no network asks for


def test_the_file_is_what_the_script_writes():
    """So a case gives another answer where a kernel that it vouches for does nothing, and is the first that does."""
    assert self_test.ANSWERS.read_text() == script.text()


def test_an_answer_that_memory_still_holds_is_none(monkeypatch):
    monkeypatch.setattr(self_test, "digest", lambda case, real: str(self_test.np.empty(2, real)))
    assert not script.notices("products", "product", "float32", "[7. 7.]")
    assert script.notices("products", "product", "float32", "[0. 0.]")


def test_another_number_gives_another_answer(monkeypatch):
    before = self_test.digest("training", "float32")
    monkeypatch.setattr(self_test, "classes", lambda: (self_test.np.arange(21) + 1) % 3)
    assert self_test.digest("training", "float32") != before


def test_an_error_is_an_answer_that_is_wrong(monkeypatch):
    def diverging(dtype):
        raise self_test.DivergedError("the loss is not finite", 0, "1")

    monkeypatch.setattr(self_test, "cases", lambda: {"training": diverging})
    assert not self_test.is_right("training", "float32")


PROGRAM = """
import json, sys
import numpy as np, fastbp as fb
net = fb.mlp([4, 8, 3])
net.predict(np.ones((2, 4)))
from fastbp.engine import cache, compiler
print(json.dumps(["fastbp.train.self_test" in sys.modules, cache.proofs(), compiler.compilations()]))
"""


@pytest.fixture(scope="module")
def proved(tmp_path_factory):
    """A cache in which the program has run, and what it said."""
    folder = tmp_path_factory.mktemp("proved")
    return folder, run(folder)


def run(folder, **variables):
    environment = {**os.environ, "FASTBP_QUIET": "1", "FASTBP_CACHE_DIR": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_kernel_is_proved_before_its_first_use_and_the_proof_is_kept(proved):
    folder, (asked, proofs, _) = proved
    assert asked
    assert ["product", "float32", "fast"] in proofs["right"]
    assert run(folder) == [False, proofs, []]


def test_a_damaged_proof_is_no_proof(proved, tmp_path):
    folder = Path(shutil.copytree(proved[0], tmp_path / "cache"))
    proofs = proved[1][1]
    (file,) = folder.glob("*/proofs-*.bin")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"product"', b'"prodact"'))
    environment = {**os.environ, "FASTBP_QUIET": "1", "FASTBP_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "its checksum is wrong" in done.stderr
    assert json.loads(done.stdout) == [True, proofs, []]
    assert file.read_bytes() == whole
