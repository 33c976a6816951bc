"""The size of a team: what is fastest is found and kept, and a busy machine costs little."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine import threads as teams
from fastbp.errors import ConfigError
from fastbp.lowering import plans
from fastbp.spec.catalogue import loss_of
from fastbp.train import calls
from fastbp.train.calls import Pace
from fastbp.train.held_out import held_out_of
from fastbp.train.history import History


class Machine:
    """A clock, and steps that take `seconds[threads]` each, with the fixed costs of a call."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 100.0, seconds
        monkeypatch.setattr(calls.time, "monotonic", lambda: self.now)

    def call(self, pace):
        steps, threads = pace.steps(), pace.threads
        took = 50e-6 + steps * self.seconds[threads]
        self.now += took
        pace.learn(steps, took)
        return steps, threads

    def run(self, pace, seconds):
        """Steps done in so many seconds."""
        end, done = self.now + seconds, 0
        while self.now < end:
            done += self.call(pace)[0]
        return done


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize(("one", "two"), [(20e-6, 30e-6), (20e-6, 12e-6), (5e-3, 8e-3), (5e-3, 3e-3)])
def test_the_faster_team_is_found_and_trials_cost_little(first, one, two, monkeypatch):
    seconds = {1: one, 2: two}
    machine, pace = Machine(monkeypatch, seconds), Pace((1, 2), first)
    best = min(seconds.values())
    machine.run(pace, 1.0)
    assert seconds[pace._usual] == best
    done = machine.run(pace, 10.0)
    assert done * best > 0.97 * 10.0


def test_of_many_sizes_the_best_is_reached_step_by_step(monkeypatch):
    seconds = {1: 80e-6, 2: 45e-6, 4: 28e-6, 8: 25e-6, 12: 60e-6}
    machine, pace = Machine(monkeypatch, seconds), Pace((1, 2, 4, 8, 12), 1)
    machine.run(pace, 2.0)
    assert pace._usual == 8
    assert machine.run(pace, 10.0) * seconds[8] > 0.95 * 10.0


def test_a_trial_of_long_steps_waits_until_it_is_a_small_part(monkeypatch):
    seconds = {1: 55e-3, 2: 30e-3}
    machine, pace = Machine(monkeypatch, seconds), Pace((1, 2), 2)
    done = [machine.call(pace) for _ in range(40)]
    assert done == [(1, 2)] * 40
    assert machine.run(pace, 60.0) * seconds[2] > 0.95 * 60.0


def test_the_first_call_may_take_long(monkeypatch):
    """It compiles, or launches threads; so does the first of more threads than have run."""
    machine, pace = Machine(monkeypatch, {1: 20e-6, 2: 12e-6}), Pace((1, 2), 1)
    machine.now += 5.0
    pace.learn(1, 5.0)
    launched = []

    def call():
        if pace.threads == 2 and not launched:
            launched.append(pace.steps())
            machine.now += 0.3
            pace.learn(launched[0], 0.3)
        else:
            machine.call(pace)

    begun = machine.now
    while machine.now < begun + 1.0:
        call()
    assert launched
    assert pace._usual == 2


def test_calls_that_are_slow_now_and_then_cost_no_more_trials(monkeypatch):
    machine, pace = Machine(monkeypatch, {1: 20e-6, 2: 30e-6}), Pace((1, 2), 1)
    done = {1: 0, 2: 0}
    for turn in range(4000):
        machine.seconds = {1: 20e-6 * (1.7 if turn % 2 else 1.0), 2: 60e-6}
        steps, threads = machine.call(pace)
        done[threads] += steps
    assert done[2] < done[1] / 50


def test_a_neighbour_on_one_core_costs_little_and_its_leaving_is_noticed(monkeypatch):
    quiet, busy = {1: 25e-6, 2: 18e-6}, {1: 25e-6, 2: 150e-6}
    machine, pace = Machine(monkeypatch, quiet), Pace((1, 2), 2)
    machine.run(pace, 1.0)
    assert pace._usual == 2
    machine.seconds = busy
    assert machine.run(pace, 1.0) * busy[1] > 0.6 * 1.0  # with the call that it came in
    assert pace._usual == 1
    assert machine.run(pace, 10.0) * busy[1] > 0.95 * 10.0
    machine.seconds = quiet
    machine.run(pace, 2.5)
    assert pace._usual == 2


def test_slow_calls_of_the_whole_machine_change_nothing(monkeypatch):
    machine, pace = Machine(monkeypatch, {1: 30e-6, 2: 20e-6}), Pace((1, 2), 2)
    machine.run(pace, 1.0)
    machine.seconds = {1: 60e-6, 2: 40e-6}
    machine.run(pace, 1.0)
    assert pace._usual == 2


def test_a_team_of_one_size_stays(monkeypatch):
    machine, pace = Machine(monkeypatch, {2: 1e-3}), Pace((2,), 2)
    assert {machine.call(pace)[1] for _ in range(200)} == {2}


def test_sizes_are_at_most_what_was_asked_for(monkeypatch):
    monkeypatch.setattr(teams, "fixed", lambda: False)
    assert plans.team_sizes(10, 8) == ((1,), 1)
    assert plans.team_sizes(600_000, 6) == ((1, 2, 4, 6), 1)
    assert plans.team_sizes(2_100_000, 6) == ((1, 2, 4, 6), 4)
    assert plans.team_sizes(10**9, 6) == ((1, 2, 4, 6), 6)
    assert plans.team_sizes(10**9, 1) == ((1,), 1)
    monkeypatch.setattr(teams, "fixed", lambda: True)
    assert plans.team_sizes(600_000, 6) == ((6,), 6)


@pytest.mark.parametrize(("said", "is_fixed"), [("", False), ("auto", False), ("all", True)])
def test_the_environment_can_fix_it(said, is_fixed, monkeypatch):
    monkeypatch.setenv("FASTBP_TEAM", said)
    assert teams.fixed.__wrapped__() == is_fixed


def test_the_environment_says_one_of_two(monkeypatch):
    monkeypatch.setenv("FASTBP_TEAM", "most")
    with pytest.raises(ConfigError, match="`FASTBP_TEAM` must be `auto` or `all`, got `most`"):
        teams.fixed.__wrapped__()


def test_bits_are_the_same_while_the_team_changes(monkeypatch):
    """With limits that let every trial win and begin anew, so that each size has its turn."""
    monkeypatch.setattr(teams, "fixed", lambda: False)
    monkeypatch.setattr(calls, "LOOK_FIRST", 0.0)
    monkeypatch.setattr(calls, "LOOK_LAST", 0.0)
    monkeypatch.setattr(calls, "SHARE", 0)
    monkeypatch.setattr(calls, "HOPELESS", float("inf"))
    monkeypatch.setattr(calls, "WORTH_IT", float("inf"))
    monkeypatch.setattr(calls, "TRIAL_SECONDS", 1e-4)
    monkeypatch.setattr(calls, "CALL_SECONDS", 1e-3)
    used = []
    monkeypatch.setattr(teams, "run", lambda *a, run=teams.run: (used.append(a[2]), run(*a)))
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 40)).astype("f4"), rng.integers(0, 5, 500)

    def trained(threads):
        net = fb.mlp([40, 150, 130, 5], dropout=0.2, seed=3)
        fb.Trainer(net, batch_size=61, threads=threads).run(X, y, steps=300)
        return net.flat

    expected = trained(1)
    assert set(used) == {1}
    found = trained(3)
    assert {1, 2, 3} <= set(used)
    np.testing.assert_array_equal(found, expected)


def test_validation_takes_no_more_threads_than_the_trainer(monkeypatch):
    used = []
    monkeypatch.setattr(teams, "run", lambda *a, run=teams.run: (used.append(a[2]), run(*a)))
    monkeypatch.setattr(teams, "default_threads", lambda: 2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2000, 64)).astype("f4"), rng.integers(0, 10, 2000)
    net = fb.mlp([64, 256, 256, 10], seed=0)
    for threads in (1, 2):
        used.clear()
        fb.Trainer(net, batch_size=64, threads=threads).fit(X, y, validation=(X, y), metrics=["accuracy"])
        assert set(used) == {threads}


def test_validation_learns_its_own_number_of_threads(monkeypatch):
    """Where one is faster for it than two, as beside a busy process, it takes one."""
    monkeypatch.setattr(teams, "fixed", lambda: False)
    net = fb.mlp([64, 256, 256, 10], seed=0)
    X, y = np.zeros((600, 64), "f4"), np.zeros(600, int)
    machine = Machine(monkeypatch, {1: 1e-3, 2: 7e-3})
    held_out = held_out_of(net, loss_of("cross_entropy"), (X, y), [], threads=2)
    monkeypatch.setattr(calls.time, "perf_counter", lambda: machine.now)

    def evaluate(self, loss, x, t, top, threads):
        machine.now += machine.seconds[threads]
        return 0.0

    monkeypatch.setattr(fb.Network, "evaluate_checked", evaluate)
    assert held_out.pace.sizes == (1, 2)
    for _ in range(2000):
        held_out.measure(net, History())
    assert held_out.pace._usual == 1


# Steps on arrays as people have them


def as_they_come():
    rng = np.random.default_rng(1)
    X, numbers, labels = rng.normal(size=(6, 32, 3)), rng.normal(size=(6, 32, 2)), rng.integers(0, 2, (6, 32))
    wide = np.repeat(numbers, 3, axis=2)
    yield "mse", X.astype("f4"), numbers.astype("f4"), X.astype("f4"), numbers.astype("f4")
    yield "mse", X.astype("f4"), numbers.astype("f4"), X, numbers
    yield "mse", X.astype("f4"), numbers.astype("f4"), X.astype("f4")[:, :, ::-1].copy()[:, :, ::-1], wide[:, :, ::3]
    yield "mse", X.astype("f2"), numbers.astype("f4"), X.astype("f2").astype("f4"), numbers.astype(">f4")
    for kind in ("i4", "u1", "i8", ">i8", "u4"):
        yield "cross_entropy", X.astype("f4"), labels, X, labels.astype(kind)


@pytest.mark.parametrize("case", range(9))
def test_a_step_takes_arrays_of_any_layout_and_size_of_number_at_once(case, monkeypatch):
    loss, X, y, other_X, other_y = list(as_they_come())[case]

    def trainer():
        return fb.Trainer(fb.mlp([3, 8, 2], seed=0), loss=loss, batch_size=32)

    one, other = trainer(), trainer()
    losses = [one.step(a, b) for a, b in zip(X, y, strict=True)]
    first = other.step(other_X[0], other_y[0])
    monkeypatch.setattr(fb.Network, "checked", None)  # the long way
    assert [first, *(other.step(a, b) for a, b in zip(other_X[1:], other_y[1:], strict=True))] == losses
    np.testing.assert_array_equal(other.net.flat, one.net.flat)


@pytest.mark.parametrize("case", range(9))
def test_from_the_third_step_on_compiled_code_is_given_only_what_it_takes(case):
    loss, X, y, other_X, other_y = list(as_they_come())[case]
    trainer = fb.Trainer(fb.mlp([3, 8, 2], seed=0), loss=loss, batch_size=32)
    for a, b in zip(other_X[:2], other_y[:2], strict=True):
        trainer.step(a, b)
    refused, entry = [], trainer._step_plan._step_entry

    def watched(*arguments):
        try:
            return entry(*arguments)
        except TypeError:  # which takes it longer than a step
            refused.append(arguments)
            raise

    trainer._step_plan._step_entry = watched
    for a, b in [*zip(other_X[2:], other_y[2:], strict=True), (X[0], y[0]), (X[1], y[1])]:
        trainer.step(a, b)
    assert not refused


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.full((4, 3), 1e300), np.zeros((4, 2)), "`X` must fit into `float32`, got `1e+300` at `[0, 0]`"),
        (np.zeros((4, 3)), np.full((4, 2), np.nan), "`y` must be finite, got `nan` at `[0, 0]`"),
    ],
)
def test_what_a_step_cannot_take_is_said_as_ever(X, y, message):
    trainer = fb.Trainer(fb.mlp([3, 8, 2], seed=0), loss="mse", batch_size=32)
    trainer.step(np.zeros((4, 3)), np.zeros((4, 2)))
    before = trainer.net.flat
    with pytest.raises(fb.DataError) as error:
        trainer.step(X, y)
    assert str(error.value) == message
    np.testing.assert_array_equal(trainer.net.flat, before)


def test_labels_that_wrap_around_are_refused():
    trainer = fb.Trainer(fb.mlp([3, 8, 2], seed=0), batch_size=32)
    trainer.step(np.zeros((4, 3)), np.zeros(4, int))
    with pytest.raises(fb.DataError, match="must be between 0 and 1"):
        trainer.step(np.zeros((4, 3)), np.full(4, 2**64 - 2**32, np.uint64))


def test_a_step_for_one_thread_is_not_cut_for_more():
    X, y = np.random.default_rng(0).standard_normal((64, 64)).astype("f4"), np.arange(64) % 4
    for hidden, workers in ((4, 1), (512, 3)):
        trainer = fb.Trainer(fb.mlp([64, hidden, 4]), batch_size=64, threads=3)
        trainer.run(X, y, 2)
        trainer.step(X, y)
        assert (trainer._batch_plan.workers, trainer._step_plan.workers) == (workers, workers)
