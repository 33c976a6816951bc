"""Machine code depends on sources and level alone, and leaves the user's own Numba as it was."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp.engine import machine_code
from fastbp.kernels import levels

ROOT = Path(__file__).parents[2]


def run(code, **variables):
    environment = {**os.environ, "FASTBP_QUIET": "1", **variables}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


OBJECTS = """
import hashlib, os
import llvmlite.binding as llvm
if FIRST:  # LLVM takes this machine for another
    llvm.get_host_cpu_name = lambda: os.environ["NUMBA_CPU_NAME"]
from fastbp.engine import compiler
names = ["relu_forward", "gather", "run_parallel", "step_batch"]
if FIRST:
    compiler.compiled("scan_labels", "float64")  # which moves what Numba counts
print(*(hashlib.sha256(compiler.compiled(name, "float32")).hexdigest() for name in names))
"""


@pytest.mark.parametrize("lanes", sorted({level.lanes for level in levels.runnable()}))
def test_objects_of_a_level_are_the_same_bytes_whatever_the_host_is_called(lanes):
    others = [{"NUMBA_CPU_NAME": name, "PYTHONHASHSEED": "7"} for name in ("haswell", "znver3")]
    found = {
        run(OBJECTS.replace("FIRST", str(bool(variables))), FASTBP_LANES=str(lanes), **variables)
        for variables in ({}, *others)
    }
    assert len(found) == 1


def test_levels_are_compiled_for_by_name():
    level = levels.level()
    assert level in levels.LEVELS.values()
    asm = machine_code._machine(machine_code.FAST)
    assert asm.triple == levels.triple()


LEVEL = "from fastbp.kernels import levels; print(levels.level().name)"


@pytest.mark.skipif(levels.level().machine != "x86_64", reason="other machines have one level")
def test_lanes_choose_a_level():
    names = {level.lanes: level.name for level in levels.runnable()}
    for lanes, name in names.items():
        assert run(LEVEL, FASTBP_LANES=str(lanes)).strip() == name
    assert names[4] == "x86-64-v2"


def test_a_process_compiles_for_one_level():
    with pytest.raises(RuntimeError, match="this process compiles for"):
        levels.build_for("aarch64")


USERS = """
import hashlib, os
before = dict(os.environ)
if WITH:
    import numpy as np, fastbp as fb
    net = fb.mlp([3, 4, 2])
    fb.Trainer(net, batch_size=2).run(np.ones((4, 3)), np.zeros(4, int), steps=1)
from numba import config, njit
@njit(fastmath=True)
def mine(x):
    total = 0.0
    for i in range(x.shape[0]):
        total += min(x[i], 2.0) * abs(x[i])
    return total
mine.compile("float64(float64[::1])")
assert before == dict(os.environ)
settings = {name: repr(getattr(config, name)) for name in dir(config) if name.isupper()}
print(hashlib.sha256(mine.inspect_asm(mine.signatures[0]).encode()).hexdigest(), sorted(settings.items()))
"""


def test_a_users_function_and_settings_are_as_without_fastbp():
    assert run(USERS.replace("WITH", "True")) == run(USERS.replace("WITH", "False"))


BROKEN = """
import json, warnings
import numpy as np, fastbp as fb
from numba import types
from fastbp.engine import cache, compiler, machine_code, proof
from fastbp.kernels import flags, target

def nothing(op, me, r0, r1, z):
    pass

def break_(name, real, pipeline):
    signature = types.void(*[types.int64] * 4, flags.REALS[real])
    module, entry = target.lower(nothing, signature, flags.OPTIONS, for_python=False)
    content = machine_code.object_of(module, entry, f"fastbp_{name}_{real}", pipeline)
    cache.write(f"{name}-{real}" + ("" if pipeline == "fast" else "-plain"), content)

BREAK
net = fb.Network([fb.Linear(3), fb.ReLU(), fb.Linear(2)], inputs=4, seed=0)
X, y = np.arange(20).reshape(5, 4) / 8, np.arange(10).reshape(5, 2) / 8
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        try:
            gradient = net.loss_and_gradients(X, y, loss="mse")[1]["0.weight"].tolist()
        except fb.FastbpError as error:
            gradient = str(error)
print(json.dumps([gradient, [str(w.message) for w in caught], proof.pipeline(), compiler.compilations()]))
"""
WARNING = (
    "fastbp's kernel `{}` computes wrong numbers on this processor in float32 (self-test `{}`), so kernels run "
    "without optimisation, which is right but slow; please report this with what `fastbp doctor` says"
)


def broken(folder, *breaks, **variables):
    code = BROKEN.replace("BREAK", "\n".join(f"break_{one}" for one in breaks))
    return json.loads(run(code, FASTBP_CACHE_DIR=str(folder), **variables))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache in which the program has run."""
    folder = tmp_path_factory.mktemp("warm")
    return folder, broken(folder)


@pytest.fixture
def folder(warm, tmp_path):
    """A copy of it in which nothing is proved."""
    place = Path(shutil.copytree(warm[0], tmp_path / "cache"))
    for file in place.glob("*/proofs-*.bin"):
        file.unlink()
    return place


@pytest.fixture
def right(warm):
    gradient, warned, pipeline, _ = warm[1]
    assert (warned, pipeline) == ([], "fast")
    return gradient


@pytest.mark.parametrize(("kernel", "case"), [("weights", "gradients"), ("mse", "mse")])
def test_a_kernel_that_computes_wrong_numbers_here_is_replaced_with_one_warning(kernel, case, right, folder):
    gradient, warned, pipeline, _ = broken(folder, (kernel, "float32", "fast"))
    assert gradient == right
    assert warned == [WARNING.format(kernel, case)]
    assert pipeline == "plain"
    again = broken(folder)  # what was found is kept
    assert again == [right, warned, "plain", []]


def test_a_wrong_kernel_is_replaced_where_plans_are_checked_too(right, folder):
    gradient, warned, pipeline, _ = broken(folder, ("weights", "float32", "fast"), FASTBP_PLAN="check")
    assert (gradient, warned, pipeline) == (right, [WARNING.format("weights", "gradients")], "plain")


def test_a_kernel_that_is_wrong_without_optimisation_too_is_an_error_each_time(folder):
    breaks = [("weights", "float32", "fast"), ("weights", "float32", "plain")]
    for given in (breaks, ()):  # the second process finds them
        found, warned, *_ = broken(folder, *given)
        assert "computes wrong numbers on this processor in float32, without optimisation too" in found
        assert warned == []


INTERRUPTED = """
import json
import numpy as np, fastbp as fb
from fastbp.engine import cache, compiler
from fastbp.train import self_test
right = self_test.is_right
def interrupted(case, real):
    if case == "gradients":
        raise KeyboardInterrupt
    return right(case, real)
net = fb.mlp([4, 8, 3])
X, y = np.ones((5, 4)), np.zeros(5, int)
for function in (interrupted, interrupted, right):
    self_test.is_right = function
    try:
        net.loss_and_gradients(X, y)
        print("done", ["weights", "float32", "fast"] in cache.proofs()["right"])
    except KeyboardInterrupt:
        print("interrupted", ["weights", "float32", "fast"] in cache.proofs()["right"])
"""


def test_a_case_that_was_interrupted_proves_nothing(folder):
    said = run(INTERRUPTED, FASTBP_CACHE_DIR=str(folder)).splitlines()
    assert said == ["interrupted False", "interrupted False", "done True"]


SETTING = """
import json
import numpy as np, fastbp as fb
from fastbp.engine import cache
net = fb.mlp([4, 3])
try:
    net.predict(np.ones((2, 4)))
except fb.ConfigError as error:
    print(error)
print(cache.proofs())
"""


def test_a_setting_that_cannot_be_used_is_no_fault_of_a_kernel(folder):
    said = run(SETTING, FASTBP_CACHE_DIR=str(folder), FASTBP_NUM_THREADS="0").splitlines()
    assert said == ["`FASTBP_NUM_THREADS` must be between 1 and 256, got `0`", "{}"]


FIRST = {
    "trace": "print(fb.trace(lambda x: np.exp(x) + 1)(np.zeros(3)))",
    "predict": "print(fb.mlp([2, 3]).predict(np.zeros((2, 2))))",
    "jacobian": "print(fb.mlp([2, 3]).jacobian(np.zeros(2)))",
    "parallel": "print(fb.mlp([2, 900, 3]).predict(np.zeros((900, 2)), threads=2).sum())",
}


@pytest.mark.parametrize("first", FIRST)
def test_whatever_a_process_does_first_finds_what_its_code_refers_to(first, tmp_path):
    code = "import numpy as np, fastbp as fb\n" + FIRST[first]
    cold = run(code)
    assert run(code) == cold  # from the cache, where nothing of Numba's was needed before
