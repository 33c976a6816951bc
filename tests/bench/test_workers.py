"""Processes of contenders, their messages, and the order of their turns."""

import functools
import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from bench import check, timing, wire
from bench.contenders import CONTENDERS
from bench.contenders.plain import PlainPredictor
from bench.contenders.plain import PlainTrainer as Numpy
from bench.remote import Remote, WorkerError
from bench.session import Session
from bench.timing import Pace
from tests.bench.made_up import BLOCKS, ROOT, TINY, TINY_CALLS, Local, asked, problem

# Workers


ALL = [(kind, name) for kind in CONTENDERS for name in CONTENDERS[kind]]


def started(kind, name):
    if not CONTENDERS[kind][name].available():
        pytest.skip(f"{name} is not installed")
    return Remote(kind, name, 1)


@pytest.mark.parametrize("name", CONTENDERS["train"])
@pytest.mark.parametrize("case", [TINY, replace(TINY, loss="mse"), BLOCKS], ids=["classes", "numbers", "residual"])
def test_a_trainer_agrees_with_numpy(name, case):
    worker = started("train", name)
    try:
        check.compare({"here": Numpy(1), "there": worker}, *problem(case))
    finally:
        worker.close()


@pytest.mark.parametrize("name", CONTENDERS["predict"])
@pytest.mark.parametrize("call", TINY_CALLS, ids=lambda call: call.name)
def test_a_predictor_agrees_with_numpy(name, call):
    worker = started("predict", name)
    try:
        check.compare_answers({"here": PlainPredictor(1), "there": worker}, *asked(call))
    finally:
        worker.close()


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_rival_is_imported_only_when_it_is_used(kind, name):
    modules = set(CONTENDERS[kind][name].modules) - {"numpy"}
    code = f"import sys; import bench.__main__; print(sorted({modules} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_a_worker_tells_what_failed_and_lives_on():
    worker = Remote("train", "numpy", 1)
    with pytest.raises(WorkerError) as caught:
        worker.run(1)
    assert str(caught.value) == (
        "the worker of `numpy` failed in `run`: AttributeError: 'PlainTrainer' object has no attribute 'start'"
    )
    worker.prepare(*problem())
    worker.run(1)
    worker.close()
    assert worker.process.returncode == 0


def test_the_death_of_a_worker_is_told():
    worker = Remote("train", "numpy", 1)
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(WorkerError) as caught:
        worker.parameters()
    assert str(caught.value) == "the worker of `numpy` died during `parameters` with status -9"
    worker.close()


def test_a_message_comes_out_as_it_went_in():
    stream = io.BytesIO()
    columns = np.arange(6.0).reshape(2, 3).T
    arrays = [np.arange(6.0).reshape(2, 3), columns, np.array(7, np.int64), np.zeros((0, 4), np.float32)]
    wire.send(stream, {"do": "prepare"}, arrays)
    wire.send(stream, {"done": True})
    stream.seek(0)
    header, received = wire.receive(stream)
    assert header == {"do": "prepare"}
    for sent, got in zip(arrays, received, strict=True):
        assert (sent.dtype, sent.shape, sent.flags.c_contiguous) == (got.dtype, got.shape, got.flags.c_contiguous)
        np.testing.assert_array_equal(sent, got)
    assert wire.receive(stream) == ({"done": True}, [])
    with pytest.raises(EOFError):
        wire.receive(stream)


def test_a_pickle_is_refused():
    stream = io.BytesIO()
    wire.send(stream, {}, [np.array([{}], object)])
    stream.seek(0)
    with pytest.raises(ValueError, match="allow_pickle"):
        wire.receive(stream)


# Order of turns


def test_pace_fills_a_portion(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda run, steps: steps * 2.0**-10)
    pace = timing.pace(lambda steps: None, portion=0.25)
    assert (pace.steps, pace.seconds) == (256, 2.0**-10)


def test_a_step_longer_than_a_portion_is_taken_once(monkeypatch):
    monkeypatch.setattr(timing, "timed", lambda run, steps: steps * 2.0)
    assert timing.pace(lambda steps: None, portion=0.25) == Pace(1, 2.0)


def test_contenders_alternate():
    order = []

    def side(name, seconds):
        order.append(name)
        return seconds

    duel = timing.duel(functools.partial(side, "ours", 2e-6), functools.partial(side, "rival", 6e-6), 3, pause=0)
    assert order == ["ours", "rival"] * 3
    assert duel.ratios == pytest.approx([3, 3, 3])


def test_another_contender_begins_each_round():
    order = []
    sides = {size: functools.partial(lambda size: order.append(size) or 1e-6 * size, size) for size in (1, 2, 4)}
    took = timing.contest(sides, 3, pause=0)
    assert order == [1, 2, 4, 2, 4, 1, 4, 1, 2]
    assert took == {size: pytest.approx([size] * 3) for size in sides}


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("found", [[70.0, 200.0, 100.0, 90.0], [100.0, 90.0, 70.0, 200.0]])
def test_of_the_peaks_before_and_behind_a_case_the_larger_counts(found, monkeypatch):
    measured = iter(found)
    monkeypatch.setattr(Local, "peak", lambda self, threads: next(measured))
    with Session("train", ["rival"], threads=2, rounds=3, ours="ours", start=Local) as session:
        assert session.measure(TINY).peaks == {1: 100.0, 2: 200.0}


@pytest.mark.usefixtures("no_pause")
def test_the_fastest_thread_count_of_a_rival_is_timed():
    with Session("train", ["rival"], threads=2, rounds=3, ours="ours", start=Local) as session:
        result = session.measure(TINY)
    assert [(entry.name, entry.threads) for entry in result.entries] == [("ours", 2), ("rival", 1)]
    assert result.duels["rival"].ratios == pytest.approx([0.5, 0.5, 0.5])
    assert result.ours.teams == [2, 2, 2]
    assert result.peaks == {1: 100.0, 2: 200.0}
    # The choice took 2 µs; fixed teams of one and two take 2 and 4.
    assert (result.choice.fixed[1], result.choice.best) == ([2.0] * 3, 1)
    assert result.choice.ratios == pytest.approx([1.0] * 3)


@pytest.mark.usefixtures("no_pause")
def test_a_refused_case_is_never_timed():
    session = Session("train", ["wrong"], threads=1, rounds=1, ours="ours", start=Local)
    with pytest.raises(check.RefusedError, match=r"^case `3-8-4-2` is not timed: "):
        session.measure(TINY)
    assert Local.turns == 0
