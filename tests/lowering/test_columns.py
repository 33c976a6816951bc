"""Predictions of few rows, each layer cut by columns: the bits of one thread, and chosen where they are fast."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine import threads
from fastbp.engine.threads import LONGEST, RESTS, Lateness
from fastbp.errors import PlanError
from fastbp.lowering import plans
from fastbp.spec.coded import Coded
from fastbp.train import stepping

RNG = np.random.default_rng(0)
WIDE = 640

NETS = {
    "relu": [fb.Linear(WIDE), fb.ReLU(), fb.Linear(384), fb.ReLU(), fb.Linear(10)],
    "odd widths": [fb.Linear(601), fb.Tanh(), fb.Linear(333), fb.GELU(), fb.Linear(1)],
    "no biases": [fb.Linear(WIDE, bias=False), fb.SiLU(), fb.Linear(WIDE, bias=False)],
    "dropout and norms": [fb.Linear(WIDE), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.3), fb.Linear(512), fb.Softmax()],
    "one panel": [fb.Linear(WIDE), fb.ReLU(), fb.Linear(WIDE), fb.ReLU(), fb.Linear(7), fb.Tanh(), fb.Linear(3)],
}


def made(name, dtype="float32"):
    if name == "branches":  # what the second product reads is free behind it, but tasks of other columns still read
        x = fb.Input(WIDE)
        h = fb.Linear(400)(fb.Tanh()(fb.Linear(WIDE)(x)))
        joined = fb.concat([fb.SiLU()(h) * h, fb.Softmax()(h), h[:, 7:90]])
        return fb.Network(inputs=x, outputs=[fb.Linear(33)(joined), fb.LayerNorm()(h) + h], seed=1, dtype=dtype)
    return fb.Network(NETS[name], inputs=WIDE, seed=1, dtype=dtype)


def bits(found):
    return b"".join(y.tobytes() for y in found) if isinstance(found, tuple) else found.tobytes()


def rows_of(count, dtype="float32"):
    return RNG.standard_normal((count, WIDE)).astype(dtype)


@pytest.fixture
def counted(monkeypatch):
    """Counts the runs of plans by columns."""
    runs = []
    run = plans.ColumnPlan.run
    monkeypatch.setattr(plans.ColumnPlan, "run", lambda self, team: (runs.append(team), run(self, team)))
    return runs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*NETS, "branches"])
def test_columns_change_no_bit(name, dtype, counted, monkeypatch):
    monkeypatch.setattr(plans, "COLUMN_WORK", 0)
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    net = made(name, dtype)
    net.predict(rows_of(1, dtype), threads=4)  # cut for four
    counted.clear()
    for count in (1, 2, 15, 16, 17, 63, 64, 65, 100):
        x = rows_of(count, dtype)
        alone = net.predict(x, threads=1)
        assert not counted
        for team in (2, 3, 4):
            assert bits(net.predict(x, threads=team)) == bits(alone)
            assert counted.pop() == team


def test_a_plan_is_cut_by_columns_for_as_many_threads_as_are_worth_barriers(counted):
    wide, narrow, deep = made("relu"), fb.mlp([64, 64, 10]), fb.mlp([4096, 32, 10])
    cases = (
        (wide, 1, 2, []),
        (wide, 64, 2, [2]),
        (wide, 24, 8, [6]),
        (wide, 400, 2, []),
        (narrow, 64, 2, []),
        (deep, 60, 4, []),  # none of its products is cut by columns
    )
    for net, count, team, wanted in cases:
        net.predict(RNG.standard_normal((count, net.inputs)).astype("f"), threads=team)
        assert counted == wanted
        counted.clear()
    wide.vjp(rows_of(64), np.ones((64, 10), "f"))
    assert not counted


def test_a_call_that_asks_for_more_threads_gives_none_to_the_next(counted, monkeypatch):
    monkeypatch.setattr(threads, "default_threads", lambda: 2)
    net, x = made("relu"), rows_of(64)
    for team in (None, 4, None):
        net.predict(x, threads=team)
    assert counted == [2, 4, 2]


def test_columns_read_parameters_as_they_are_now(monkeypatch, counted):
    net = made("relu")
    x, y = rows_of(64), np.arange(64) % 10
    before = net.predict(x, threads=2)
    fb.Trainer(net, optimizer=fb.Adam(0.01), loss="cross_entropy").step(x, y)
    after = net.predict(x, threads=2)
    assert counted == [2, 2]
    assert after.tobytes() == net.predict(x, threads=1).tobytes() != before.tobytes()


def test_results_may_be_written_over_the_rows_they_come_from(counted):
    net = fb.Network([fb.Linear(WIDE), fb.Tanh(), fb.Linear(WIDE)], inputs=WIDE, seed=2)
    x = rows_of(48)
    wanted = net.predict(x, threads=1)
    assert net.predict(x, out=x, threads=2) is x
    assert x.tobytes() == wanted.tobytes()
    assert counted == [2]


@pytest.mark.parametrize("widths", [(4096, 32, 10), (784, 512, 256, 10), (2048, 10)])
def test_results_may_be_written_over_the_end_of_the_rows(widths):
    net = fb.mlp(list(widths), seed=3)
    memory = RNG.standard_normal(60 * widths[0]).astype("f")
    x, out = memory.reshape(60, -1), memory[-60 * widths[-1] :].reshape(60, -1)
    wanted = net.predict(x.copy(), threads=1)
    assert net.predict(x, out=out, threads=4) is out
    assert out.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("first", "coded_by_columns"), [([fb.BatchNorm()], 2), ([], 0)], ids=["norm", "linear"])
def test_codes_are_read_as_the_rows_in_full(first, coded_by_columns, dtype, counted):
    numbers = RNG.standard_normal((60, 240))
    coded = Coded(np.hstack([numbers, RNG.integers(0, 401, (60, 1))]).astype(dtype), (0,) * 240 + (400,))
    net = fb.Network([*first, *NETS["relu"]], inputs=WIDE, seed=1, dtype=dtype)
    for x in (coded, np.asarray(coded), coded):  # a gather brings them to their full width, or a product reads codes
        assert net.predict(x, threads=2).tobytes() == net.predict(np.asarray(coded), threads=1).tobytes()
    assert len(counted) == 1 + coded_by_columns


@pytest.mark.parametrize("team", [2, 4])
@pytest.mark.parametrize(("name", "count"), [("odd widths", 17), ("odd widths", 100), ("branches", 64)])
def test_columns_run_beside_their_twins(team, name, count, monkeypatch, counted):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    monkeypatch.setattr(plans, "COLUMN_WORK", 0)
    net, x = made(name), rows_of(count)
    found = net.predict(x, threads=team)
    assert counted == [team]
    op = [op for op in net._predict_plan._columns.ops.records if op.name == "product"][-1]
    op.bias += 64
    with pytest.raises(PlanError, match=r"of `predict, few rows by columns`: .* must be \S+ at row 0, column 0"):
        net.predict(x, threads=team)
    op.bias -= 64
    assert bits(net.predict(x, threads=team)) == bits(found)


# Whether a team is late


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass where a test says so, and teams that may rest."""
    now = [100.0]
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(threads, "fixed", lambda: False)
    return now


def test_a_team_that_waited_rests_for_so_long_that_waiting_costs_a_twentieth(clock):
    late = Lateness()
    for _ in range(10):
        late.learn(32, 2, 100e-6)
        assert late.team(2) == 2
    late.learn(32, 2, 4e-3)
    assert late.team(2) == 1
    clock[0] += 0.9 * RESTS * 4e-3
    assert late.team(2) == 1
    clock[0] += 0.1 * RESTS * 4e-3
    assert late.team(2) == 2


DIFFERENT = {  # rows, threads and seconds of calls
    "rows": [(32, 2, 1e-4), (1, 2, 3e-5), (3200, 2, 9e-3), (64, 2, 5.5e-4), (32, 2, 1.4e-4), (100_000, 2, 0.4)],
    "one row that reads all weights": [(1000, 2, 0.067), (1, 2, 3e-3), (1000, 2, 0.067), (1, 2, 3.2e-3)],
    "a batch that is not full": [(512, 2, 0.076), (7, 2, 0.015)],
    "no fewer rows": [(127, 2, 10e-3), (64, 2, 9.9e-3), (127, 2, 10e-3), (80, 2, 9.9e-3)],
    "twice the rows": [(64, 2, 5e-3), (127, 2, 10e-3), (64, 2, 5e-3), (126, 2, 10e-3)],
    "threads that wake": [(32, 2, 3e-5), (32, 2, 5.6e-4)],
    "threads": [(64, 8, 1e-3), (64, 2, 4e-3), (64, 1, 8e-3)],
}


@pytest.mark.parametrize("calls", DIFFERENT.values(), ids=DIFFERENT)
def test_a_team_is_not_late_because_calls_differ(calls, clock):
    late = Lateness()
    for call in calls:
        late.learn(*call)
        assert late.team(2) == 2


def test_a_short_call_is_late_between_long_ones(clock):
    late = Lateness()
    for call in ((1000, 2, 3e-3), (32, 2, 1e-4), (1000, 2, 3e-3)):
        late.learn(*call)
        assert late.team(2) == 2
    late.learn(32, 2, 2.5e-3)
    assert late.team(2) == 1


def test_a_team_that_has_become_slower_for_good_is_late_no_more(clock):
    late = Lateness()
    late.learn(1, 2, 0.01)
    rests = 0
    for _ in range(100):
        late.learn(1, 2, 0.018)
        rests += late.team(2) == 1
        clock[0] += 60.0
    assert 0 < rests < 20


def test_no_team_rests_long_because_the_process_was_stopped(clock):
    late = Lateness()
    late.learn(32, 2, 100e-6)
    late.learn(32, 2, 3600.0)
    assert late.team(2) == 1
    clock[0] += LONGEST
    assert late.team(2) == 2


def test_no_team_rests_where_all_threads_are_asked_for(clock, monkeypatch):
    monkeypatch.setattr(threads, "fixed", lambda: True)
    late = Lateness()
    for seconds in (1e-4, 1.0):
        late.learn(1, 2, seconds)
        assert late.team(2) == 2


def test_no_team_is_late_because_a_plan_was_made(clock, counted, monkeypatch):
    make = plans.ColumnPlan.__init__

    def slowly(*given):
        clock[0] += 1.0
        make(*given)

    monkeypatch.setattr(plans.ColumnPlan, "__init__", slowly)
    net = made("relu")
    net.predict(rows_of(130), threads=2)  # by rows
    for _ in range(2):
        net.predict(rows_of(128), threads=2)
    assert clock == [101.0]
    assert counted == [2, 2]


def test_single_calls_of_networks_and_trainers_rest(monkeypatch):
    net, x, y = made("relu"), rows_of(64), np.arange(64) % 10
    trainer = fb.Trainer(net, loss="cross_entropy", threads=2)
    calls = {
        "predict": lambda: net.predict(x, threads=2),
        "step": lambda: trainer.step(x, y),
    }
    teams = []
    region = threads._region
    monkeypatch.setattr(threads, "_region", lambda *given: (teams.append(given[2]), region(*given)))
    for call in calls.values():
        call()
    assert teams == [2, 2]
    monkeypatch.setattr(Lateness, "team", lambda self, most: 1 if self.usual else most)
    for call in calls.values():
        call()
    assert teams == [2, 2]


def test_no_team_is_late_that_waited_for_another_rank(clock, monkeypatch):
    monkeypatch.setattr(stepping, "together", lambda ranks: nullcontext())
    monkeypatch.setattr(fb.Trainer, "_refuse_other_batch", lambda *given: None)
    call, waits = stepping.Stepping._call, [0.0, 1.0, 0.0]

    def waiting(*given):
        clock[0] += waits.pop(0)
        return call(*given)

    monkeypatch.setattr(stepping.Stepping, "_call", waiting)
    trainer = fb.Trainer(made("relu"), loss="cross_entropy", threads=2)
    trainer._ranks = SimpleNamespace(count=1, steps=lambda count: count)
    teams = []
    region = threads._region
    monkeypatch.setattr(threads, "_region", lambda *given: (teams.append(given[2]), region(*given)))
    for _ in range(3):
        trainer.step(rows_of(64), np.arange(64) % 10)
    assert teams == [2, 2, 2]
