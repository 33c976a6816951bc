"""Teams in packs: threads that no member is left for help the others, and no bit is another."""

from __future__ import annotations

import time
from collections import deque
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import team_sizes
from fastbp.train import pack_calls
from fastbp.train.members import Member
from tests.train.packs import CLASSES, INPUTS, data, digest, networks, wide

BATCH = 64


def waits(member: Member) -> list[int]:
    """How often each thread that the plan of a member is for has waited for the others at the end of a phase."""
    return waited(member.trainer)


def waited(trainer: fb.Trainer) -> list[int]:
    plan = trainer._batch_plan
    assert plan
    return [worker.waits for worker in plan.team]


def alone(nets: list[fb.Network], steps: int, **settings: Any) -> list[str]:
    """Digests of networks that are trained one by one."""
    X, y = data()
    for net in nets:
        fb.Trainer(net, threads=1, batch_size=BATCH, **settings).run(X, y, steps)
    return [digest(net) for net in nets]


def test_networks_of_these_tests_are_worth_a_team() -> None:
    plan = fb.Trainer(wide(1)[0], batch_size=BATCH)._plan(BATCH)
    assert team_sizes(plan.work, 2)[1] == 2


@pytest.mark.parametrize("name", ["adam", "nadam"])
@pytest.mark.parametrize(("members", "threads"), [(1, 2), (1, 3), (2, 3), (2, 4), (3, 4)])
def test_fewer_members_than_threads_take_teams_and_have_the_same_bits(members: int, threads: int, name: str) -> None:
    X, y = data()
    pack = fb.Pack(wide(members), batch_size=BATCH, threads=threads, optimizer=name)
    pack.run(X, y, steps=40)
    expected = alone(wide(members), 40, optimizer=name)
    assert [digest(net) for net in pack.members] == expected
    found = max(len(waits(member)) for member in pack._members)
    assert -(-threads // members) <= found <= threads  # more where another has ended


def test_both_threads_of_a_team_work() -> None:
    """Each has waited for the other, on a machine that is not too busy for that."""
    X, y = data()
    pack, end = fb.Pack(wide(1), batch_size=BATCH, threads=2), time.monotonic() + 60
    while True:
        pack.run(X, y, steps=200)
        plan = pack._members[0].trainer._batch_plan
        assert plan
        assert plan.head.team.threads == 2
        if min(waits(pack._members[0])) > 0:
            break
        assert time.monotonic() < end


def test_a_member_that_is_left_behind_takes_the_threads_of_those_that_ended(monkeypatch: Any) -> None:
    """In its epochs and on its held-out rows; then all train again, each with a thread."""
    monkeypatch.setattr(pack_calls, "PLAN_SECONDS", 0.0)
    X, y = data()
    patience = [1, None, 2]
    settings: dict[str, Any] = {"batch_size": BATCH, "optimizer": fb.Adam(lr=0.05)}
    pack = fb.Pack(wide(3), threads=2, **settings)
    histories = pack.fit(X, y, 40, validation=(X[:70], y[:70]), patience=patience)
    lengths = [len(history.loss) for history in histories]
    assert lengths[1] == 40
    assert max(lengths[0], lengths[2]) < 40, "the others must have left"
    assert [len(waits(member)) for member in pack._members][1] == 2
    assert {workers for _, workers, _ in pack._members[0].seats.free} == {1, 2}
    pack.run(X, y, 30)
    for i, net in enumerate(wide(3)):
        stop = [] if patience[i] is None else [fb.EarlyStopping(patience[i])]
        trainer = fb.Trainer(net, threads=1, **settings)
        found = trainer.fit(X, y, 40, validation=(X[:70], y[:70]), callbacks=stop)
        trainer.run(X, y, 30)
        assert histories[i].loss == found.loss
        assert histories[i].val_loss == found.val_loss
        assert digest(net) == digest(pack.members[i]), f"member {i}"


def test_little_that_is_left_is_not_worth_a_plan_for_a_team(monkeypatch: Any) -> None:
    monkeypatch.setattr(pack_calls, "PLAN_SECONDS", 1e9)
    X, y = data()
    nets = [*wide(1), *networks()[:2]]
    pack = fb.Pack(nets, batch_size=BATCH, threads=2)
    pack.run(X, y, 50)
    assert [len(waits(member)) for member in pack._members] == [1, 1, 1]


def test_a_team_is_kept_in_the_middle_of_an_epoch_and_a_pack_is_saved_with_it(tmp_path: Any) -> None:
    X, y = data()
    pack = fb.Pack(wide(1), batch_size=20, threads=1)
    pack.run(X, y, 13)
    pack.save(tmp_path / "pack")
    pack = fb.load(tmp_path / "pack")
    pack._set_up(pack._members, 2)
    pack.run(X, y, 3)  # an epoch has 8 steps
    assert len(waits(pack._members[0])) == 2
    pack._turns.threads = 3
    pack.run(X, y, 5)
    assert len(waits(pack._members[0])) == 3
    pack.save(tmp_path / "pack")
    again = fb.load(tmp_path / "pack")
    again.run(X, y, 6)
    (net,) = wide(1)
    fb.Trainer(net, threads=1, batch_size=20).run(X, y, 27)
    assert digest(again.members[0]) == digest(net)


@pytest.mark.parametrize("members", [2, 3])
def test_wide_members_are_trained_one_after_another_by_all_threads(members: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(pack_calls, "WIDE_WORK", 0.0)
    monkeypatch.setattr(pack_calls, "PLAN_SECONDS", 0.0)
    X, y = data()
    pack = fb.Pack(wide(members), batch_size=BATCH, threads=2)
    pack.run(X, y, 40)
    assert [digest(net) for net in pack.members] == alone(wide(members), 40)
    assert [len(waits(member)) for member in pack._members] == [2] * members


def test_wide_members_stand_beside_narrow_ones(monkeypatch: Any) -> None:
    X, y = data()
    nets = [*wide(1), *networks(), *wide(2)[1:]]
    pack = fb.Pack(nets, batch_size=BATCH, threads=2)
    cost = pack_calls.Training(pack._members[0].trainer, pack._members[0].trainer._new_plan(BATCH), 1, 1).cost
    monkeypatch.setattr(pack_calls, "WIDE_WORK", cost / 2)
    monkeypatch.setattr(pack_calls, "PLAN_SECONDS", 0.0)
    regions: list[list[float]] = []
    region = pack._turns._region

    def noted(calls: list[pack_calls.Call]) -> None:
        regions.append([call.cost for call in calls])
        region(calls)

    monkeypatch.setattr(pack._turns, "_region", noted)
    pack.run(X, y, 40)
    assert all(len(costs) == 1 or max(costs) < cost / 2 for costs in regions)
    assert max(map(len, regions)) > 1
    assert [digest(net) for net in nets] == alone([*wide(1), *networks(), *wide(2)[1:]], 40)
    assert [len(waits(pack._members[i])) for i in (0, -1)] == [2, 2]


def test_a_single_member_predicts_with_a_team() -> None:
    X = np.random.default_rng(3).normal(size=(20_000, INPUTS)).astype(np.float32)
    X[:, 0] = 0
    pack = fb.Pack(wide(1), threads=2)
    assert np.array_equal(pack.predict_members(X)[0], pack.members[0].predict(X, threads=1))
    plan = pack._members[0]._prediction
    assert plan
    assert (plan.workers, plan.head.team.threads) == (2, 2)


def test_threads_wait_for_none_within_the_steps_of_members_of_their_own() -> None:
    """A counter says so, and it counts: a trainer's two threads wait several times a step."""
    X, y = data()
    for settings in ({}, {"accumulate": 2, "clip_norm": 1.0}):
        pack = fb.Pack([*networks(), *wide(3)], batch_size=BATCH, threads=2, **settings)  # type: ignore[arg-type]
        pack.run(X, y, 30)
        pack.fit(X, y, 2, validation=(X, y))
        pack.step(X, y)
        assert [waits(member) for member in pack._members] == [[0]] * 8
    trainer = fb.Trainer(wide(1)[0], batch_size=BATCH, threads=2)
    trainer._new_plan(BATCH)
    end = time.monotonic() + 60
    while sum(waited(trainer)) < 30:  # on a busy machine one of them may have come too late, and found all done
        trainer.run(X, y, 200)
        assert time.monotonic() < end


def test_a_member_of_a_team_that_diverges_stops() -> None:
    X, y = data()
    targets = np.eye(CLASSES)[y]
    pack = fb.Pack(wide(1), loss="mse", optimizer=fb.SGD(1e30), batch_size=BATCH, threads=2)
    with pytest.warns(RuntimeWarning, match=r"`members\[0\]` stopped: "):
        pack.run(X, targets, 50)
    (net,) = wide(1)
    trainer = fb.Trainer(net, "mse", optimizer=fb.SGD(1e30), batch_size=BATCH, threads=1)
    with pytest.raises(fb.DivergedError) as error:
        trainer.run(X, targets, 50)
    assert pack.histories[0].stopped == str(error.value)
    assert digest(net) == digest(pack.members[0])


class Steps(pack_calls.Call):
    """A call of a made-up work: a step takes a second."""

    def __init__(self, steps: int) -> None:
        super().__init__(None, None, steps, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("members", "threads"), [(3, 2), (5, 2), (7, 3), (5, 4), (65, 2), (131, 3)])
@pytest.mark.parametrize("steps", [24, 240, 2400, 10_007])
def test_members_of_equal_work_leave_no_thread_idle(members: int, threads: int, steps: int, monkeypatch: Any) -> None:
    """However much they do: regions of as many calls as threads, or of twice as many, up to the last."""
    monkeypatch.setattr(pack_calls, "CALL_SECONDS", 200.0)
    monkeypatch.setattr(pack_calls, "SLICE_SECONDS", 10.0)
    turns = pack_calls.Turns(threads)
    turns.unit = 1.0
    idle = total = 0.0

    def region(calls: list[pack_calls.Call]) -> None:
        nonlocal idle, total
        free = [0.0] * threads
        for call in calls:
            free[free.index(min(free))] += call.steps * call.cost
        idle += sum(max(free) - one for one in free)
        total += sum(free)

    def work() -> pack_calls.Work:
        left = steps
        while left:
            call = Steps(left)
            yield call
            left -= call.steps

    monkeypatch.setattr(turns, "_region", region)
    monkeypatch.setattr(turns, "learn", lambda work, seconds: None)
    turns.run([work() for _ in range(members)])
    assert total == members * steps
    assert idle < 0.02 * total + threads * threads


def test_members_with_much_memory_keep_their_thread_for_longer() -> None:
    """What they work on has left the caches when their turn comes."""
    X, y = data()
    small, large = (fb.Pack(fb.mlp([INPUTS, width, width, CLASSES]), n=8, threads=2) for width in (16, 512))
    least = []
    for pack in (small, large):
        pack.run(X, y, 1)
        trainer = pack._members[0].trainer
        least.append(pack_calls.Training(trainer, trainer._batch_plan, 1, 1).least)  # type: ignore[arg-type]
    assert least[0] == pack_calls.SLICE_SECONDS
    assert 0.004 < least[1] <= pack_calls.CALL_SECONDS
    large._turns.unit = 1e-11
    waiting = deque((member.run(large._checked(X, y, None), 10**6), None) for member in large._members)
    calls = deque((work, next(work)) for work, _ in waiting)
    taken = [call for _, call in large._turns.take(calls)]
    assert len(taken) in (2, 4, 6)
    assert all(call.steps * call.cost * large._turns.unit > 0.9 * least[1] for call in taken)


def test_a_single_step_takes_a_team_and_an_interrupted_change_of_plans_loses_nothing(monkeypatch: Any) -> None:
    X, y = data()
    pack, trainer = fb.Pack(wide(1), batch_size=20, threads=2), fb.Trainer(wide(1)[0], batch_size=20, threads=1)
    assert pack.step(X, y)[0] == trainer.step(X, y)
    plan = pack._members[0].trainer._step_plan
    assert plan
    assert (plan.workers, plan.head.team.threads) == (2, 2)
    pack.run(X, y, 13)
    pack._turns.threads = 3

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BatchPlan, "go_on", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pack.run(X, y, 13)
    pack.run(X, y, 13)
    trainer.run(X, y, 26)
    assert digest(pack.members[0]) == digest(trainer.net)


def test_locks_of_networks_are_taken_in_one_order_whatever_the_order_of_calls(monkeypatch: Any) -> None:
    taken: list[int] = []

    class Lock:
        def acquire(self) -> None:
            taken.append(id(self))

        def release(self) -> None:
            taken.append(-id(self))

    def nothing(*_: Any) -> None:
        pass

    plan = SimpleNamespace(watcher=None, head_address=0, zero=0, real="float32")
    calls: list[Any] = [
        SimpleNamespace(net=SimpleNamespace(lock=Lock()), plan=plan, team=1, open=nothing, close=nothing)
        for _ in range(3)
    ]
    monkeypatch.setattr(pack_calls.team, "run_many", nothing)
    found = set()
    for order in permutations(calls):
        taken.clear()
        pack_calls.Turns(2)._region([*order])
        found.add(tuple(taken))
    assert len(found) == 1  # so packs that share networks never wait for each other
    assert sorted(map(abs, found.pop())) == sorted(2 * [id(call.net.lock) for call in calls])
