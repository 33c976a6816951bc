"""A network of another shape compiles nothing: to the compiled code a network is data."""

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import cache

import numpy as np
import pytest
from numba import njit
from numba.core import event

import fastbp as fb
from fastbp.engine import compiler
from fastbp.engine.compiler import compilations
from fastbp.engine.machine_code import Loader
from tests.model.chains import DTYPES, data

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
KINDS = ["numba:compile", "numba:run_pass"]  # of dispatchers; of C functions, which announce their passes alone


@contextmanager
def nothing_compiled():
    """Fail if anything is compiled meanwhile, by fastbp or by anybody."""
    before = compilations()
    with ExitStack() as stack:
        recorders = [stack.enter_context(event.install_recorder(kind)) for kind in KINDS]
        yield
    assert compilations() == before
    for kind, recorder in zip(KINDS, recorders, strict=True):
        assert [str(found[1]) for found in recorder.buffer] == [], kind


def predict(net, threads):
    net.predict(data(net, 70)[0], threads=threads)
    net.predict(data(net, 1)[0][0])


def vjp(net, threads):
    X, u = data(net, 70, "mse")
    net.vjp(X, u)
    net.jvp(X, X)
    for mode in ("forward", "reverse"):
        net.jacobian(X[0], mode)
    net.input_gradient(X, 0)
    net.parameter_vjp(X, u)


def gradients(net, threads):
    for loss in ("cross_entropy", "mse"):
        net.loss_and_gradients(*data(net, 70, loss), loss=loss)
        net.evaluate(*data(net, 70, loss), loss=loss)


def train(net, threads):
    for loss in ("cross_entropy", "mse"):
        for optimizer in (fb.SGD(1e-3), fb.SGD(1e-3, 0.9), fb.Adam(), fb.AdamW()):
            trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=16, threads=threads)
            X, y = data(net, 70, loss)
            trainer.run(X, y, steps=6)
            trainer.step(X[:16], y[:16])
            trainer.step(X[:16], y[:16])
            trainer.fit(X, y, validation=(X, y))


WORK = [predict, vjp, gradients, train]


@cache
def warm(dtype):
    """Every op once, serial and in threads."""
    layers = [fb.Linear(300), fb.ReLU(), fb.Dropout(0.1), fb.Linear(120), fb.Tanh(), fb.Identity(), fb.Sigmoid()]
    chain = fb.Network([*layers, fb.ReLU(), fb.Linear(3)], inputs=5, dtype=dtype)
    x, y = graph(5, 300)
    for net in (chain, fb.Network(inputs=x, outputs=y, dtype=dtype)):
        for work in WORK:
            for threads in (1, 2):
                work(net, threads)
    several(5, 40, dtype)


def graph(inputs, width):
    """Every gate, and a layer that is shared."""
    x, again = fb.Input(inputs), fb.Linear(width)
    h = again(fb.Softplus()(again(fb.Linear(width)(fb.concat([x, x[:, :1]])))))
    h = (h - h.mean()) * fb.Repeat(width)(h[:, 1:2]) + fb.Sigmoid()(h) / (h * h + 1.0)
    return x, fb.Linear(3)(2.0 / (h * h).sum() + h)


SHAPES = {
    "one-layer": lambda: ([fb.Linear(1, bias=False)], 1),
    "small": lambda: ([fb.Linear(7), fb.Tanh(), fb.Linear(2)], 3),
    "activation-first": lambda: (
        [fb.Sigmoid(), fb.Linear(31), fb.ReLU(), fb.ReLU(), fb.Dropout(0.5), fb.Linear(17)],
        13,
    ),
    "wide": lambda: ([fb.Linear(513), fb.ReLU(), fb.Linear(257), fb.Tanh()], 129),
    "deep": lambda: ([layer for i in range(20) for layer in (fb.Linear(9 + i), fb.Tanh(), fb.Dropout(0.1))], 40),
}


@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_of_a_new_shape_compiles_nothing(shape, work, threads, dtype):
    warm(dtype)
    layers, inputs = SHAPES[shape]()
    with nothing_compiled():
        work(fb.Network(layers, inputs=inputs, dtype=dtype), threads)


def several(inputs, width, dtype):
    """Train a network with two inputs and two outputs."""
    x, z = fb.Input(inputs), fb.Input(2)
    h = fb.concat([fb.Linear(width)(x), z])
    net = fb.Network(inputs=[x, z], outputs=[fb.Linear(3)(h), fb.Linear(1)(h)], dtype=dtype)
    rows, rng = np.ones((70, inputs)), np.random.default_rng(0)
    X, y = (rows, rng.normal(size=(70, 2))), (np.arange(70) % 3, rng.normal(size=(70, 1)))
    fb.Trainer(net, ["cross_entropy", "mse"], batch_size=16).fit(X, y, validation=(X, y))
    net.predict(X)
    net.jacobian(X)


@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("shape", [(1, 2), (17, 33), (40, 500)], ids=str)
def test_a_new_graph_compiles_nothing(shape, work, threads, dtype):
    warm(dtype)
    x, y = graph(*shape)
    with nothing_compiled():
        work(fb.Network(inputs=x, outputs=y, dtype=dtype), threads)


@every_dtype
def test_a_network_with_other_inputs_and_outputs_compiles_nothing(dtype):
    warm(dtype)
    with nothing_compiled():
        several(33, 7, dtype)


def test_arrays_of_every_kind_compile_nothing():
    warm("float32")
    net = fb.mlp([6, 9, 2])
    X, y = data(net, 40)
    trainer = fb.Trainer(net, batch_size=40)
    trainer.step(X, y)
    with nothing_compiled():
        for rows in (X.astype(np.float64), np.asfortranarray(X), X.astype(">f4"), X.tolist(), np.repeat(X, 2, 0)[::2]):
            net.predict(rows)
            net.predict(rows, out=np.empty((40, 2), np.float32))
            trainer.step(rows, y.astype(np.int32))
            trainer.step(rows, y.tolist())


def test_another_process_compiles_nothing_that_this_one_has():
    warm("float32")
    code = (
        "import json, fastbp as fb, numpy as np\n"
        "from fastbp.engine.compiler import compilations\n"
        "net = fb.mlp([4, 11, 3], dropout=0.1)\n"
        "X, y = np.ones((20, 4)), np.zeros(20, int)\n"
        "fb.Trainer(net).run(X, y, steps=3)\n"
        "net.predict(X)\n"
        "print(json.dumps(compilations()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert done.stderr == ""


# The checker can fail


def test_the_checker_sees_a_function_that_is_compiled():
    with pytest.raises(AssertionError, match="numba:compile"), nothing_compiled():
        njit(lambda x: x + 1)(1)


def test_the_checker_sees_a_kernel_that_is_compiled(monkeypatch):
    monkeypatch.setattr("fastbp.engine.cache.folder", lambda: None)  # nothing is found, and nothing kept
    monkeypatch.setattr(compiler, "_LOADED", {})
    monkeypatch.setattr(compiler, "_loader", lambda pipeline: Loader())
    monkeypatch.setattr(compiler, "_COMPILED", [])
    with pytest.raises(AssertionError, match="scan_labels"), nothing_compiled():
        compiler.kernel_address("scan_labels", "float32")
