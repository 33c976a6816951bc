"""`FASTBP_PLAN=check`: what a plan leaves out is an error, even if nothing that it does is wrong."""

import ctypes
import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import PlanError

pytestmark = pytest.mark.usefixtures("checked")


def trained(layer, **words):
    """A plan that has done two steps, and what does two more."""
    rng = np.random.default_rng(1)
    net = fb.Network([fb.Linear(9), layer, fb.Linear(5)], inputs=6, seed=0)
    trainer = fb.Trainer(net, loss="mse", batch_size=20, threads=1, **words)
    X, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 5))
    trainer.run(X, y, steps=2)
    plan = trainer._batch_plan
    return plan, lambda: plan.steps(2, 9, 1)


def refused(said, run, *given):
    with pytest.raises(PlanError, match=f"^{re.escape(said)}"):
        run(*given)


def with_entry(plan, change):
    """The plan's runs with something changed behind them, before what they did is looked at."""
    watched = plan.watcher.around

    def around(name, entry):
        def changed(*given):
            out = entry(*given)
            change()
            return out

        return watched(name, changed)

    plan.watcher.around = around


def test_a_run_without_a_batch_is_refused():
    plan, run = trained(fb.Tanh())
    plan.watcher.around = lambda name, entry, right=plan.watcher.around: right(name, lambda *given: None)
    refused("the steps of `train, batch 20` must begin with a batch, got none", run)


def test_a_run_that_ends_early_is_refused():
    plan, run = trained(fb.Tanh())
    with_entry(plan, lambda: setattr(plan.head.step, "left", 1))
    refused("the steps of `train, batch 20` must go on until none is left, got 1 that are", run)


def test_who_wrote_a_buffer_is_forgotten_between_runs():
    """Or a first phase that does nothing would leave its results of the last run where they are."""
    plan, run = trained(fb.Tanh())
    kept = next(iter(plan.watcher.rows.kept.values()))
    assert (kept.writer >= 0).any()
    plan.watcher.rows.meet()
    assert (kept.writer < 0).all()
    run()


TASKS = {
    "norm": {"clip_norm": 1.0},
    "batch_norm_columns": {},  # which has no gradients that somebody counts
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_never_runs_is_named(task):
    layer = fb.BatchNorm(affine=False)
    plan, run = trained(layer, **TASKS[task])
    run()
    for table in plan.tasks:
        for record in table.records:
            if record.name == task:
                record.kernel = idle(plan)
    refused(f"task `{task}` of `train, batch 20`: must be done 1 times in this batch, got 0 times", run)


def idle(plan):
    """The address of a callback of the watcher's kind that does nothing."""
    thunk = plan.watcher.kind(lambda *given: None)
    plan.watcher.thunks["idle"] = thunk
    address = int(ctypes.cast(thunk, ctypes.c_void_p).value)
    plan.watcher.own.add(address)
    return address


@pytest.mark.parametrize(("begun", "row"), [([(0, 64), (128, 150)], 64), ([(0, 64), (0, 64), (64, 150)], 0), ([], 0)])
def test_rows_in_no_block_or_in_two_are_named(begun, row):
    plan = fb.Network([fb.Linear(20), fb.Tanh(), fb.Linear(3)], inputs=4).plan("predict")
    plan(np.ones((150, 4), np.float32), np.empty((150, 3), np.float32), 1)
    assert sorted(plan.watcher.begun) == [(0, 64), (64, 128), (128, 150)]
    plan.watcher.begun = begun
    refused(f"row {row} of `{plan.title}` must be in one block, got otherwise", plan.watcher._conclude, 0, None)
