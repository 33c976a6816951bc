"""`FASTBP_PLAN=check`: a record that leads elsewhere is named, with the op, the row and the column."""

import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.compiler import kernel_address
from fastbp.engine.memory import view
from fastbp.errors import PlanError
from fastbp.kernels.records import END_LOSS, END_NOTHING, END_STEP, Worker

pytestmark = pytest.mark.usefixtures("checked")


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
