"""The profile of a machine: what is divided by what, and what is said where nothing is known."""

import json
import re

import numpy as np
import pytest

from fastbp.cli.main import main
from fastbp.engine.compiler import sweep
from fastbp.engine.memory import view
from fastbp.kernels.records import Head
from fastbp.runs import machine, profile
from fastbp.runs.profile import Profile
from fastbp.sweeps.probes import flops_of_a_turn


def test_the_peak_is_that_of_the_best_try(monkeypatch):
    turns, seconds = [], iter([0.0005, 0.0015, 0.004])
    tries = iter([0.9, 0.5, 0.7, 0.8, 0.9, 0.6])
    monkeypatch.setattr(profile, "seconds_of", lambda work: next(seconds))
    monkeypatch.setattr(profile, "together", lambda works: turns.append(works[0].args[0]) or next(tries))
    # Doubled until a try takes 2 ms: 1000, 2000, 4000 turns.
    assert profile.peak(3) == pytest.approx(3 * 4000 * flops_of_a_turn(4) / 0.5 / 1e9)
    assert turns == [4000] * 6


def test_the_peak_is_no_less_than_what_one_chain_reaches():
    # One chain waits for each result, so the best of CHAINS at once is several times as fast.
    chains, out = sweep("fma_chains", "float32"), np.zeros(32, np.float32)
    place = out.ctypes.data + -out.ctypes.data % 64
    once = min(profile.seconds_of(lambda: chains(100_000, place, np.float32(0))) for _ in range(20))
    assert profile.peak(1) > 0.3 * 100_000 * flops_of_a_turn(4) / once / 1e9


def test_works_begin_together_and_the_last_one_counts():
    order = []
    seconds = profile.together([lambda: order.append("a"), lambda: profile.time.sleep(0.05) or order.append("b")])
    assert order == ["a", "b"]
    assert seconds >= 0.05


def test_a_barrier_is_what_a_further_phase_takes(monkeypatch):
    monkeypatch.setattr(profile, "seconds_of_phases", lambda count, threads: 5.0 + count * threads)
    assert profile.barrier(3) == pytest.approx(3.0)


@pytest.mark.parametrize("threads", [2, 3])
def test_phases_without_work_are_all_passed(threads, monkeypatch):
    run, last = profile.teams.run, []

    def noted(address, *rest):
        run(address, *rest)
        tickets = Head(view(address, (Head.size,), np.int64)).team.tickets
        last.append(
            int(view(tickets, (1,), np.int64)[0]) >> 24
        )  # the serial number of the last phase that had a task for the first thread

    monkeypatch.setattr(profile.teams, "run", noted)
    assert profile.seconds_of_phases(200, threads) > 0.0
    assert last == [200] * profile.CALLS


def test_a_crossing_is_unknown_where_the_other_thread_never_runs_at_the_same_time(monkeypatch):
    monkeypatch.setattr(profile, "sweep", lambda name, real: lambda word, me, turns, zero: 0)
    assert profile.crossing() is None


def test_a_crossing_is_half_of_a_handover_there_and_back(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(profile, "sweep", lambda name, real: lambda word, me, turns, zero: 1)
    monkeypatch.setattr(profile, "together", lambda works: [work() for work in works])
    monkeypatch.setattr(profile.time, "perf_counter", lambda: next(clock) * 4e-3)
    assert profile.crossing() == pytest.approx(4e6 / (2 * profile.HANDOVERS))


def test_one_thread_crosses_nothing():
    found = profile.measure(1)
    assert (found.threads, found.crossing_ns) == (1, None)
    assert found.peak_gflops_of_all == found.peak_gflops > 0.0


def cache(folder, number, kind, level, size):
    (folder / f"index{number}").mkdir()
    for name, text in {"type": kind, "level": level, "size": size}.items():
        (folder / f"index{number}" / name).write_text(f"{text}\n")


def test_caches_are_those_of_data(tmp_path):
    cache(tmp_path, 0, "Data", "1", "48K")
    cache(tmp_path, 1, "Instruction", "1", "32K")
    cache(tmp_path, 2, "Unified", "2", "2048K")
    cache(tmp_path, 3, "Unified", "3", "16M")
    cache(tmp_path, 4, "Unified", "4", "many")
    (tmp_path / "index5").mkdir()  # tells nothing
    assert profile.cache_sizes(tmp_path) == {1: 48 << 10, 2: 2 << 20, 3: 16 << 20}
    assert profile.cache_sizes(tmp_path / "none") == {}


def test_a_profile_in_words():
    found = Profile(90.4, 2, 180.6, 9.26, 312.4, 88.6, 48 << 10, 1 << 20, None)
    assert machine.in_words(found) == {
        "peak_gflops": "90 on one thread, 181 on 2",
        "launch": "9.3 µs for a call on 2 threads",
        "barrier": "312 ns from phase to phase",
        "cache_line": "89 ns from core to core",
        "caches": "48 KiB L1, 1024 KiB L2",
    }
    unknown = machine.in_words(Profile(90.4, 1, 90.4, 1.0, 20.0, None, None, None, None))
    assert (unknown["cache_line"], unknown["caches"]) == ("unknown", "unknown")


def test_doctor_shows_the_profile(capsys):
    assert main(["doctor", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)["profile"]
    assert set(numbers) == set(Profile.__dataclass_fields__)
    assert numbers["peak_gflops"] > 0
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^barrier +\d+ ns from phase to phase$", out, re.M)
    assert "profile" not in out
