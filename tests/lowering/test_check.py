"""`FASTBP_PLAN=check`: right plans pass, every kernel has a twin, and nothing of it is there without the variable."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, PlanError
from fastbp.kernels.optimizers import RULES
from fastbp.lowering.check import ops, tasks
from fastbp.lowering.check.rows import twin_of
from fastbp.lowering.registry import OPS
from fastbp.spec.members import average_for
from tests.model import random_networks
from tests.train import bits_of_ops

WORDS = ({}, {"clip_norm": 0.5, "accumulate": 2, "ema": 0.75}, {"clip_value": 1e-2, "ema": 0.9})
CASES = list(bits_of_ops.cases())


pytestmark = pytest.mark.usefixtures("checked")


def every_plan(net, loss, optimizer, X, y, *, steps=3, threads=3, batch=41, weights=None, words=None):
    """Train, and ask for all that other plans answer; all of them are checked."""
    trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=batch, threads=threads, **(words or {}))
    trainer.run(X, y, steps, sample_weight=weights)
    net.evaluate(X, y, loss)
    net.loss_and_gradients(X, y, loss=loss)
    net.predict(X, threads=threads)
    net.vjp(X, np.ones((len(X), net.outputs)))
    net.jvp(X, X)
    net.input_gradient(X, 0)
    for mode in ("forward", "reverse"):
        net.jacobian(X[:9], mode=mode)
    return trainer


@pytest.mark.parametrize("number", range(len(CASES)), ids=[name for name, *_ in CASES])
def test_all_ops_pass(number):
    _, layers, loss, optimizer = CASES[number]
    X, y = bits_of_ops.data(loss)
    weights = 1.0 + np.arange(len(X)) % 3
    for i, dtype in enumerate(("float32", "float64")):
        words = WORDS[(number + i) % len(WORDS)]
        net = bits_of_ops.network(layers, dtype)
        every_plan(net, loss, optimizer, X, y, weights=weights, words=words)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_pass(seed):
    decks = random_networks.Decks(np.random.default_rng(seed))
    for number in range(6):
        kind, loss, outputs = random_networks.random_loss(decks, random_networks.LOSSES)
        layers, inputs = random_networks.random_layers(decks, loss, outputs, beyond_torch=True)
        average = average_for(loss.kind, outputs)  # others are refused by trainers
        layers = [replace(one, average=average) if isinstance(one, fb.Members) else one for one in layers]
        rows = int(decks.rng.integers(5, 150))
        X = random_networks.random_rows(decks.rng, layers, inputs, rows)
        y = random_networks.random_targets(decks.rng, kind, loss, rows, outputs)
        net = fb.Network(layers, inputs=inputs, seed=seed, dtype=("float32", "float64")[number % 2])
        words, threads = WORDS[number % 3], 1 + number % 3
        every_plan(net, loss, fb.AdamW(1e-2), X, y, threads=threads, batch=8 + 9 * number, words=words)


def test_layers_of_a_user_losses_and_penalties_pass():
    X, y = np.random.default_rng(0).normal(size=(50, 7)), np.ones((50, 2))
    loss = fb.loss("abs(z - t) ** 3")
    for dtype in ("float32", "float64"):
        for words in WORDS:
            net = fb.Network(
                [fb.Embedding({1: (4, 3)}), fb.Linear(19), fb.activation("x * tanh(x)"), fb.Linear(2)], 7, dtype=dtype
            )
            X[:, 1] = np.arange(50) % 4
            every_plan(net, loss, fb.SGD(0.01), X, y, words={"penalty": "0.01 * w ** 2", **words})


# What is watched.


def kernels_of_ops():
    return {kernel for op in OPS.values() for kernel in f"{op.forward} {op.vjp} {op.jvp}".split()}


@pytest.mark.parametrize("kernel", sorted(kernels_of_ops()))
def test_every_kernel_of_the_registry_has_a_twin(kernel):
    assert twin_of(kernel) or tasks.Tasks.has_twin(kernel)


def test_every_optimiser_has_a_twin():
    assert all(tasks.Tasks.has_twin(name) for name in RULES)


def test_an_op_without_a_twin_is_named(monkeypatch):
    monkeypatch.delitem(ops.TWINS, "tanh_forward")
    net = fb.Network([fb.Linear(3), fb.Tanh()], inputs=2)
    said = "op 2 `tanh_forward` of `predict, rows in blocks of 64` must have a twin in NumPy, got none"
    with pytest.raises(PlanError, match=f"^{re.escape(said)}$"):
        net.predict(np.ones((3, 2)))


UNPROVED = """
import numpy as np, fastbp as fb
from fastbp.errors import PlanError
from fastbp.lowering.check import ops
del ops.TWINS["tanh_forward"]
net = fb.Network([fb.Linear(3), fb.Tanh()], inputs=2)
try:
    net.predict(np.ones((3, 2)))
except PlanError as error:
    print(error)
"""


def test_proofs_are_not_watched(tmp_path):
    """Of kernels that are used for the first time, cases train networks of their own."""
    variables = {**os.environ, "FASTBP_CACHE_DIR": str(tmp_path), "FASTBP_QUIET": "1"}
    done = subprocess.run([sys.executable, "-c", UNPROVED], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == "op 2 `tanh_forward` of `predict, rows in blocks of 64` must have a twin in NumPy, got none\n"


@pytest.mark.parametrize("problem", [TypeError, ValueError, SystemExit])
def test_a_problem_of_a_twin_is_an_error_of_the_plan(problem, monkeypatch):
    def fails(call):
        if call.op.number == 4:
            raise problem("no numbers")
        return right(call)

    right = ops.TWINS["tanh_forward"]
    net = fb.Network([fb.Linear(3), fb.Tanh(), fb.Linear(3), fb.Tanh()], inputs=2)
    X, y = np.ones((3, 2), np.float32), np.ones((3, 3), np.float32)
    trainer = fb.Trainer(net, loss="mse", batch_size=3)
    trainer.step(X, y)
    monkeypatch.setitem(ops.TWINS, "tanh_forward", fails)
    for title, run in (
        ("train, batch 3", lambda: trainer.step(X, y)),
        ("predict, rows in blocks of 64", lambda: net.predict(X)),
    ):
        said = f"op 4 `tanh_forward` of `{title}`: {problem.__name__}: no numbers"
        with pytest.raises(PlanError, match=f"^{re.escape(said)}$") as caught:
            run()
        assert isinstance(caught.value.__cause__, problem)


def test_an_interrupt_of_a_twin_stays_one(monkeypatch):
    def interrupted(call):
        raise KeyboardInterrupt

    net = fb.Network([fb.Linear(3), fb.Tanh()], inputs=2)
    monkeypatch.setitem(ops.TWINS, "tanh_forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.predict(np.ones((3, 2)))


def test_every_kernel_that_a_plan_runs_is_watched():
    """The callbacks take the place of all addresses at which compiled code finds kernels."""
    net = fb.Network([fb.Embedding({0: (4, 3)}), fb.Linear(8), fb.BatchNorm(), fb.Linear(2)], inputs=3)
    plan = net.plan("train", batch=16, loss="mse", clip_norm=True)
    plan.watcher.attach()
    own, update = plan.watcher.own, plan.head.update
    assert {op.kernel for op in plan.ops.records} <= own
    assert {task.kernel for table in plan.tasks for task in table.records} <= own
    assert {update.optimizer, update.kernel, update.attempt} <= own


def test_a_plan_without_the_variable_is_as_before(monkeypatch):
    monkeypatch.delenv("FASTBP_PLAN")
    net = fb.Network([fb.Linear(3), fb.Tanh()], inputs=2)
    plan = net.plan("train", batch=16, loss="mse")
    assert plan.watcher is None
    monkeypatch.setenv("FASTBP_PLAN", "check")
    other = net.plan("train", batch=16, loss="mse")
    assert other.watcher is not None
    assert [op.kernel for op in plan.ops.records] == [op.kernel for op in other.ops.records]  # until it runs


def test_nothing_of_it_is_imported_without_the_variable():
    clean = {name: value for name, value in os.environ.items() if name != "FASTBP_PLAN"}
    code = (
        "import fastbp as fb, sys; fb.mlp([2, 2]).predict([[1.0, 2.0]]);"
        "print(*(name for name in sys.modules if name.startswith('fastbp.lowering.check.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_results_have_the_same_bits(monkeypatch):
    def trained():
        net = fb.Network([fb.Linear(21), fb.BatchNorm(), fb.ReLU(), fb.Linear(5)], inputs=7, seed=1)
        every_plan(net, "cross_entropy", fb.Adam(), np.eye(50, 7), np.arange(50) % 5)
        return net.flat

    watched = trained()
    monkeypatch.delenv("FASTBP_PLAN")
    np.testing.assert_array_equal(watched, trained())


def test_an_unknown_value_is_refused(monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "chekc")
    with pytest.raises(ConfigError, match=r"^`FASTBP_PLAN` must be `check` or not be set, got `chekc`$"):
        fb.mlp([2, 2]).predict([[1.0, 2.0]])
