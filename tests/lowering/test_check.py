"""`FASTBP_PLAN=check`: right plans pass, every kernel has a twin, and a record that leads elsewhere is named."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import view
from fastbp.errors import ConfigError, PlanError
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import END_LOSS, END_NOTHING, END_STEP, Worker
from fastbp.lowering import plans
from fastbp.lowering.check import ops, tasks
from fastbp.lowering.check.rows import twin_of
from fastbp.lowering.registry import OPS
from tests.model import random_networks
from tests.train import bits_of_ops

WORDS = ({}, {"clip_norm": 0.5, "accumulate": 2, "ema": 0.75}, {"clip_value": 1e-2, "ema": 0.9})
CASES = list(bits_of_ops.cases())


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)


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


# Faults in records.


@pytest.fixture
def chain():
    """A plan whose products are cut into column groups, and its steps."""
    rng = np.random.default_rng(1)
    layers = [fb.Linear(130), fb.Tanh(), fb.Linear(100), fb.ReLU(), fb.BatchNorm(), fb.Linear(5)]
    net = fb.Network(layers, inputs=600, seed=0)
    X, y = rng.normal(size=(40, 600)), rng.normal(size=(40, 5))
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(), batch_size=40, threads=2)
    trainer.run(X, y, steps=1)
    plan = trainer._batch_plan
    return plan, lambda: plan.steps(1, 1, 1)


def op_of(plan, name, first_panel=0):
    return next(op for op in plan.ops.records if op.name == name and op.first_panel >= first_panel)


def moved(op, part, field, by):
    matrix = getattr(op, part)
    setattr(matrix, field, getattr(matrix, field) + by)


LINE = 64
BUFFER = r"buffer b\d+ must be \S+ at row \d+, column \d+, got \S+$"
FAULTS = {
    "rows that begin a line too late": (
        lambda plan: moved(op_of(plan, "product"), "c", "start", LINE),
        r"^op 1 `product` of `train, batch 40`: buffer b3 must be \S+ at row 0, column 0, got nan$",
    ),
    "an operand a row too late": (
        lambda plan: moved(op_of(plan, "tanh_forward"), "a", "start", LINE),
        r"^op 2 `tanh_forward` .*: " + BUFFER,
    ),
    "a panel too few": (
        lambda plan: setattr(op_of(plan, "product", 1), "panels", op_of(plan, "product", 1).panels - 1),
        r"^op 1 `product` .*: buffer b3 must be \S+ at row 0, column 128, got nan$",
    ),
    "a panel too many": (
        lambda plan: setattr(op_of(plan, "product"), "panels", op_of(plan, "product").panels + 1),
        r"^op 1 `product` .*: buffer b3 must stay as it was at row 0, column 64$",
    ),
    "a bias that stays behind": (
        lambda plan: setattr(op_of(plan, "product", 1), "bias", op_of(plan, "product").bias),
        r"^op 1 `product` .*: buffer b3 must be \S+ at row 0, column 64, got \S+$",
    ),
    "weights that stay behind": (
        lambda plan: setattr(op_of(plan, "product", 1).b, "start", op_of(plan, "product").b.start),
        r"^op 1 `product` .*: buffer b3 must be \S+ at row 0, column 64, got \S+$",
    ),
    "a buffer that is written while it is needed": (
        lambda plan: setattr(op_of(plan, "mse").c, "start", op_of(plan, "gather").c.start),
        r"^op 7 `mse` .*: " + BUFFER,
    ),
    "an epilogue that is left out": (
        lambda plan: [setattr(op, "epilogue", 0) for op in plan.ops.records if op.name == "product"],
        r"^op 3 `product` .*: " + BUFFER,
    ),
    "another kernel": (
        lambda plan: setattr(op_of(plan, "tanh_forward"), "kernel", kernel_address("softsign_forward", plan.real)),
        r"^op 2 `tanh_forward` .*: " + BUFFER,
    ),
    "columns of a batch norm that are left out": (
        lambda plan: setattr(
            op_of(plan, "batch_norm_statistics", 1), "panels", op_of(plan, "batch_norm_statistics", 1).panels - 1
        ),
        r"^op 4 `batch_norm_statistics` .*: the mean must be \S+ at row 0, column \d+, got nan$",
    ),
    "phases in another order": (
        lambda plan: swapped(plan.phases.records[1].words, plan.phases.records[2].words),
        r"^op 3 `product` .*: buffer b3 must be what op 2 `tanh_forward` wrote at row 0, column 0,"
        r" got nothing of this batch$",
    ),
    "scratch that lies among the moments": (
        lambda plan: setattr(worker_of(plan), "scratch", plan.head.update.blocks.moment_1 + LINE),
        r"^task `\w+` .*: moment 1 of `\S+` must stay as they were, got others$",
    ),
    "another optimiser": (
        lambda plan: setattr(plan.head.update, "optimizer", kernel_address("sgd", plan.real)),
        r"^kernel `adam` of `train, batch 40`: the parameter of `\S+` must be \S+ at row 0, column 0, got \S+$",
    ),
    "a tile with a line too few": (
        lambda plan: setattr(tile_of(plan, "weights"), "i1", tile_of(plan, "weights").i1 - 1),
        r"^task `weights` of `train, batch 40`: the gradient of `0.weight` must be applied 1 times in this batch"
        r" at row \d+, column \d+, got 0 times$",
    ),
    "the input of a layer a row too late": (
        lambda plan: moved(plan.layers.records[0], "x", "start", LINE),
        r"^task `weights` .*: the gradient of `0.weight` must be \S+ at row 0, column 0, got \S+$",
    ),
    "the transposed copy a line too late": (
        lambda plan: moved(plan.layers.records[1], "transposed", "start", LINE),
        r"^task `weights` .*: the transposed copy of `2.weight` must be \S+ at row \d+, column \d+, got \S+$",
    ),
    "running statistics of the wrong columns": (
        lambda plan: setattr(norm_of(plan), "running_mean", norm_of(plan).running_variance),
        r"^task `batch_norm_columns` .*: the running mean of `4.weight` must be \S+ at row 0, column 0, got \S+$",
    ),
}


def swapped(one, other):
    one[:], other[:] = other.copy(), one.copy()


def worker_of(plan):
    return Worker(view(plan.head.team.workers, (Worker.size,), np.int64))


def tile_of(plan, name):
    return next(task for task in plan.tasks[0].records if task.name == name)


def norm_of(plan):
    return next(layer for layer in plan.layers.records if hasattr(layer, "momentum"))


def test_the_plan_that_faults_are_made_in_has_column_groups(chain):
    plan, run = chain
    assert op_of(plan, "product", 1).first_panel > 0
    run()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_record_is_named(fault, chain):
    plan, run = chain
    make, said = FAULTS[fault]
    make(plan)
    with pytest.raises(PlanError, match=said):
        run()


ENDS = {
    "no step after the weights": (-1, END_NOTHING, r"^the steps of `train, batch 40` must be counted, got 0 of 1$"),
    "no weights after the rows": (
        -3,
        END_LOSS,
        r"^task `weights` of `train, batch 40`: the gradient of `0.weight` must be applied 1 times in this batch"
        r" at row 0, column 0, got 0 times$",
    ),
    "weights twice": (
        -3,
        END_NOTHING,
        r"^task `weights` .*: the gradient of `0.weight` must be applied 1 times in this batch at row 0,"
        r" column 0, got 2 times$",
    ),
    "a step before its rows are done": (
        0,
        END_STEP,
        r"^op \d+ `.*` of .*: row 0, column 0 must be done in every batch, got none$",
    ),
}


@pytest.mark.parametrize("fault", ENDS)
def test_a_phase_that_ends_otherwise_is_named(fault, chain):
    plan, run = chain
    at, end, said = ENDS[fault]
    plan.phases.records[at].end = end
    with pytest.raises(PlanError, match=said):
        run()


def test_the_loss_is_summed_behind_the_rows():
    net = fb.mlp([3, 4, 2])
    plan = net.plan("evaluate", batch=16, loss="mse")
    plan.phases.records[-1].end = END_NOTHING
    targets = plan.loss_spec.targets("y", np.ones((16, 2)), 16, 2, np.dtype("float32"))
    plan.bind(np.ones((16, 3), np.float32), targets, 0)
    with pytest.raises(PlanError, match=r"^the loss of `evaluate, batch 16` must be \S+ behind its row phases, got 0$"):
        plan.steps(1, 1, 1)


def test_the_first_difference_is_raised_once_and_the_plan_goes_on(chain):
    plan, run = chain
    op = op_of(plan, "product", 1)
    op.panels -= 1
    with pytest.raises(PlanError):
        run()
    op.panels += 1
    run()


def test_rows_that_go_through_by_themselves_are_checked():
    net = fb.Network([fb.Linear(20), fb.Tanh(), fb.Linear(3)], inputs=4)
    plan = net.plan("predict")
    op_of(plan, "tanh_forward").panels -= 1
    said = "op 2 `tanh_forward` of `predict, rows in blocks of 64`: buffer b1 must be "
    with pytest.raises(PlanError, match=rf"^{said}\S+ at row 0, column 16, got \S+$"):
        plan(np.ones((3, 4), np.float32), np.empty((3, 3), np.float32), 1)


def test_a_block_of_rows_must_go_through_every_op():
    plan = fb.Network([fb.Linear(20), fb.Tanh(), fb.Linear(3)], inputs=4).plan("predict")
    plan.phases.records[0].op_count -= 1
    said = "op 4 `scatter` of `predict, rows in blocks of 64`: row 0, column 0 must be done in every batch, got none"
    with pytest.raises(PlanError, match=f"^{re.escape(said)}$"):
        plan(np.ones((3, 4), np.float32), np.empty((3, 3), np.float32), 1)


def test_a_running_average_that_moves_otherwise_is_named():
    net = fb.mlp([3, 8, 2])
    trainer = fb.Trainer(net, loss="mse", batch_size=16, ema=0.9, threads=1)
    X, y = np.random.default_rng(0).normal(size=(2, 16, 3))
    trainer.run(X, y[:, :2], steps=1)
    trainer._batch_plan.head.update.average_keep = 0.8
    said = r"^task `weights` .*: the running average of `0.weight` must be \S+ at row 0, column 0, got \S+$"
    with pytest.raises(PlanError, match=said):
        trainer._batch_plan.steps(1, 1, 1)
