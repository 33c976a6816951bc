"""Traced functions as ONNX files: every gate, shapes of all kinds, and derivatives, which are traced functions too."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.export.in_onnx.traced import traced_file
from tests.autodiff.ladder import LADDER, arguments
from tests.autodiff.test_random_structure import function
from tests.export.onnx_reader import read
from tests.export.test_onnx_file import OPSETS, session

RELATIVE = {"float64": 1e-12, "float32": 2e-5}
OF_AXES = ("sum", "spread", "take", "place", "tied")  # functions of which numbers are not


def several(found):
    return found if isinstance(found, tuple) else (found,)


def close(found, wanted, dtype):
    wanted = np.asarray(wanted, dtype)
    assert found.shape == wanted.shape
    most = RELATIVE[dtype]
    np.testing.assert_allclose(found, wanted, rtol=most, atol=most * max(1.0, float(np.abs(wanted).max(initial=0.0))))


def check(F, args, dtype="float64", opset=17):
    file = read(traced_file(F, args, opset, "f"))
    given = [np.asarray(arg, dtype) for arg in args]
    found = file(**dict(zip(file.inputs, given, strict=True)))
    for out, wanted in zip(found.values(), several(F(*args)), strict=True):
        close(out, wanted, dtype)
    return file


@pytest.mark.parametrize("seed", range(60))
def test_random_functions_that_move_numbers_about(seed):
    rng = np.random.default_rng(seed)
    shapes = tuple(rng.integers(1, 40, 2)), (int(rng.integers(1, 40)),), ()
    check(fb.trace(function(seed)), [rng.normal(size=shape) for shape in shapes], opset=OPSETS[seed % len(OPSETS)])


@pytest.mark.parametrize("shape", [(), (5,), (3, 4)], ids=str)
@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("name", LADDER)
def test_every_gate(name, dtype, shape):
    if (shape != (3, 4) and LADDER[name].matrices) or (not shape and name in OF_AXES):
        return
    args = [np.asarray(x, dtype).astype(np.float64) for x in arguments(name, shape)]
    check(fb.trace(LADDER[name].function, dtype), args, dtype)


def test_derivatives_are_traced_functions_too():
    F = fb.trace(lambda W, x: (np.tanh(W @ x) ** 2).sum())
    rng = np.random.default_rng(0)
    W, x, v = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)
    file = check(fb.trace(lambda W, x: F.gradient(W, x)), (W, x))
    assert list(file.inputs) == ["W", "x"]
    assert list(file.outputs) == ["y0", "y1"]
    check(fb.trace(lambda W, x, v: F.hessian_vector((W, x), (0.0 * W, v))), (W, x, v))
    check(fb.trace(lambda W, x: np.max(W @ x)), (W, x))


def test_onnx_runtime_runs_them():
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    for seed in range(30):
        rng = np.random.default_rng(seed)
        shapes = tuple(rng.integers(1, 20, 2)), (int(rng.integers(1, 20)),), ()
        args = [rng.normal(size=shape) for shape in shapes]
        F = fb.trace(function(seed))
        data = traced_file(F, args, OPSETS[seed % len(OPSETS)], "f")
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
        given = dict(zip(read(data).inputs, map(np.asarray, args), strict=True))
        for out, wanted in zip(session(runtime, data).run(None, given), F(*args), strict=True):
            close(out, wanted, "float64")


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        (
            fb.trace(np.exp),
            {},
            "`arguments` must be given for a traced function, whose file is for their shapes"
            "\nhint: such as `arguments=(np.zeros(3), 1.0)`",
        ),
        (
            fb.trace(np.exp),
            {"arguments": (1.0,), "jacobian": True},
            "`jacobian` must be False for a traced function, got `True`"
            "\nhint: `fb.trace(lambda x: F.gradient(x)[0])` is a function of its own",
        ),
        (fb.trace(np.exp), {"arguments": 1.0}, "`arguments` must be a tuple, one value per argument, got a `float`"),
        (fb.mlp([2, 1]), {"arguments": (1.0,)}, "`arguments` must be given for a traced function only, got `(1.0,)`"),
    ],
)
def test_bad_input_is_one_sentence(model, words, message, tmp_path):
    with pytest.raises((fb.ConfigError, TypeError)) as caught:
        fb.export.onnx(model, tmp_path / "f.onnx", **words)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []
