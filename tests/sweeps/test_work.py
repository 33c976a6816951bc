"""The loop that walks a plan: every task is done once, every block has its own rows, whoever does it."""

from __future__ import annotations

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.compiler import kernel_address
from fastbp.kernels.records import END_NOTHING, TASK_PHASE, Phase, Piece
from fastbp.lowering import plans
from fastbp.lowering.plans import ROW_BLOCK
from tests.kernels.harness import Machine


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1, 3 * ROW_BLOCK, 5 * ROW_BLOCK + 7])
def test_every_block_brings_its_own_rows(rows, threads, fine, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    if fine:
        monkeypatch.setattr(plans, "FINE_WORK", 0)
    plan = fb.Network([fb.Identity()], inputs=1)._row_plan("predict", workers=3)
    # A block in the wrong place finds rows there, too, and room.
    around = 2 * rows + 3 * ROW_BLOCK
    x = np.arange(-around, rows + around, dtype=np.float32)[:, None]
    y = np.full_like(x, np.nan)
    own = slice(around, around + rows)
    plan(x[own], y[own], threads)
    wrong = np.flatnonzero(y[own] != x[own])
    assert wrong.size == 0, f"row {wrong[0]} of {rows} has the numbers of row {y[own][wrong[0], 0]:g}"
    assert np.isnan(np.delete(y, own)).all()


@pytest.mark.parametrize(
    ("rows", "threads", "runs"),
    [
        (32, 2, [(2, 16, 32)]),
        (100, 3, [(3, 48, 100)]),
        (192, 3, [(3, 64, 192)]),
        (400, 3, [(3, 64, 192), (3, 64, 192), (1, 64, 16)]),
        (16, 3, [(1, 64, 16)]),
        (200, 1, [(1, 64, 64), (1, 64, 64), (1, 64, 64), (1, 64, 8)]),
    ],
)
def test_wide_networks_are_predicted_by_all_threads_whatever_the_rows(rows, threads, runs, monkeypatch):
    """What runs is so many threads, rows of a block and rows; blocks are few where a call may be no longer."""
    net = fb.Network([fb.Linear(512), fb.ReLU(), fb.Linear(1)], inputs=512, seed=0)
    monkeypatch.setattr(plans, "CALL_WORK", 1)
    monkeypatch.setattr(plans, "few_rows", lambda ops: 0.0)  # of which plans by columns would take some
    x = np.random.default_rng(0).normal(size=(rows, 512)).astype(np.float32)
    plan, seen = net._row_plan("predict", workers=3), []

    def spy(run, threads):
        def run_and_note(*given):
            run(*given)
            seen.append((threads(given), plan.phases.records[0].block, plan.head.data.rows))

        return run_and_note

    monkeypatch.setattr(plan, "run", spy(plan.run, lambda given: given[0]))
    monkeypatch.setattr(plan, "_predict", spy(plan._predict, lambda given: 1))
    y = np.empty((rows, 1), np.float32)
    for _ in range(2):
        seen.clear()
        plan(x, y, threads)
        assert seen == runs
    assert y.tobytes() == net.predict(x, threads=1).tobytes()
    seen.clear()
    plan(x, y, 1)
    assert {(used, block) for used, block, _ in seen} == {(1, ROW_BLOCK)}


def test_a_wide_network_may_write_over_the_rows_that_it_reads():
    net = fb.Network([fb.Linear(512), fb.ReLU(), fb.Linear(256)], inputs=512, seed=0)
    x = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
    expected = net.predict(x, threads=2).tobytes()
    for _ in range(20):
        rows = x.copy()
        over = rows.reshape(128, 256)[:64]  # of row 2 r what is read for row r
        assert net.predict(rows, out=over, threads=2).tobytes() == expected


@pytest.mark.parametrize("tasks", [1, 2, 7, 300])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("split", [False, True])
def test_every_task_is_done_by_whoever_comes_first(tasks, threads, split):
    """One thread is there, and does those of all; shares may be of any size."""
    m = Machine("float64")
    norms = m.user_output("norms", tasks, np.float64)
    pieces = m.records(Piece, tasks)
    for number, piece in enumerate(pieces):
        piece.kernel, piece.number = kernel_address("norm", m.real), number
    phase = m.record(Phase, kind=TASK_PHASE, end=END_NOTHING, tasks=m.address_of(pieces[0]), task_count=tasks)
    if split:
        ends = np.sort(np.random.default_rng(tasks).integers(0, tasks + 1, threads - 1))
        phase.split = m.user("split", np.array([0, *ends, tasks])).address
    m.head.phases, m.head.phase_count, m.head.update.norms = m.address_of(phase), 1, norms.address
    m.head.team.tickets, m.head.team.threads = m.memory.lines(threads), threads
    m.head.team.worker_bytes = 0
    m.call("begin", m.head, 0, 0)
    m.call("work", m.head, 0, 0, 0)
    left = np.flatnonzero(np.isnan(norms.numbers()))
    assert left.size == 0, f"task {left[0]} of {tasks} was not done"
