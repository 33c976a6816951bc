"""Ranks of MPI that train one network, as processes that `mpiexec` starts: see `rank_programs.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastbp.train import rooms
from fastbp.train.rooms import has_room
from tests.launched import LAUNCHER, run

pytest.importorskip("mpi4py")
pytestmark = pytest.mark.skipif(LAUNCHER is None, reason="no mpiexec")
PROGRAMS = str(Path(__file__).with_name("rank_programs.py"))


def found(count: int, *arguments: str) -> Any:
    """What the first rank says of it."""
    code, out, err = run(count, PROGRAMS, *arguments)
    assert code == 0, out + err
    return json.loads(out)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_sums_are_those_of_one_tree(count: int) -> None:
    beside = 10 if count > 1 and has_room(1 << 25) else 0  # of five sizes are large, and each is added twice
    assert found(count, "sums") == {"wrong": [], "same": True, "count": count, "rooms": beside}


def test_memory_that_is_not_there_is_not_shared(monkeypatch, tmp_path) -> None:
    free = os.statvfs(tmp_path)
    monkeypatch.setattr(rooms, "MEMORY", str(tmp_path))
    assert has_room(1)
    assert not has_room(free.f_blocks * free.f_frsize)
    monkeypatch.setattr(rooms, "MEMORY", str(tmp_path / "nothing"))
    assert not has_room(1)


@pytest.mark.skipif(not has_room(1 << 25), reason="no memory to share")
def test_shared_memory_ends_with_the_last_trainer_that_uses_it_on_any_rank() -> None:
    found_ = found(2, "rooms")
    assert found_ == {"plans": [0, 0], "sizes": [[1, 1, 1, 2, 2, 1]] * 2, "same": True}


def test_texts_of_the_first_reach_all_and_numbers_are_agreed_on() -> None:
    assert found(4, "texts")["found"] == [["déjà vu", "", "of 0", [3, 5], 10]] * 4


@pytest.mark.parametrize("case", ["adam", "lion"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_ranks_trains_as_one_process(count: int, case: str) -> None:
    assert found(count, "fits", case) == {"same": True, "alone": True}


@pytest.mark.parametrize(("count", "threads"), [(2, "1"), (4, "1")])
def test_300_steps_end_in_the_same_digests(count: int, threads: str) -> None:
    """`scripts/verify-ranks` has the whole table."""
    alone = found(1, "table", "1", "alone")
    assert len(set(alone["found"].values())) == 6
    assert found(count, "table", threads) == alone


def test_what_ranks_are_given_must_be_the_same() -> None:
    same = "must be the same on every rank, got another on rank 3 than on rank 0"
    first = same.replace("rank 3", "rank 1")
    power = "`comm` must have 1, 2, 4, 8 or another power of two of ranks, got `3`"
    assert found(4, "settings") == {
        "lr": [f"`optimizer` {same}"],
        "seed": [f"`seed` {same}"],
        "penalty": [f"`penalty` {same}"],
        "parameters": [f"`net.parameters` {same}"],
        "rows": [f"`X` {same}"],
        "other rows": [f"`X` {first}"],
        "targets": [f"`y` {first}"],
        "weights": [f"`sample_weight` {same}"],
        "steps": [f"`steps` {same}"],
        "epochs": [f"`epochs` {same}"],
        "validation": [f"`validation` {same}"],
        "metrics": [f"`metrics` {same}"],
        "assigned": [f"`optimizer` {same}"],
        "batch": [f"`X` {first}"],
        "batch targets": [f"`y` {same}"],
        "changed": [f"`net.parameters` {same}"],
        "shards": ["`shards` must be at least 4, the number of ranks, got `2`"],
        "comm": ["`comm` must be a communicator of mpi4py, such as `MPI.COMM_WORLD`, got `3`"],
        "three": power,
    }


def test_a_callback_that_ends_the_fit_on_one_rank_ends_it_on_all() -> None:
    stopped = [[3, "rank 1 has stopped"], [3, "its time is up"]]
    assert found(4, "stops")["found"] == [stopped[0], stopped[1], stopped[0], stopped[0]]


def test_the_first_rank_alone_writes_and_shows(tmp_path: Path) -> None:
    code, out, err = run(4, PROGRAMS, "writes", str(tmp_path))
    assert code == 0, err
    assert err.count("epoch 1/3 ") == 1
    assert (tmp_path / "log.csv").read_text().count("\n") == 4
    assert sorted(path.name for path in tmp_path.glob("net*")) == [f"net-{i}.safetensors" for i in (1, 2, 3)]
    threads = json.loads(out)
    assert threads["threads"] == threads["of"]


def test_ctrl_c_on_one_rank_ends_all_at_one_step() -> None:
    assert found(4, "interrupted") == {"how": ["interrupted", True], "same": True, "alone": True, "handler": True}


def test_ctrl_c_in_a_loop_of_steps_ends_all_behind_the_same() -> None:
    assert found(4, "struck")["found"] == [["interrupted", 8]] * 4


def test_a_validation_loss_that_is_not_finite_is_that_of_one_process() -> None:
    assert found(4, "far_off") == {"same": True, "alone": True, "loss": "[inf, inf]"}


def test_an_error_of_all_is_raised_by_all() -> None:
    said = found(4, "all_fail")["found"]
    assert said == [said[0]] * 4
    assert said[0].startswith("`X`")


def test_an_error_of_one_ends_all_with_one_message() -> None:
    code, out, err = run(4, PROGRAMS, "one_fails")
    assert code != 0
    assert err.count("fastbp: rank 2 of 4 failed, so all stop: MemoryError: no room") == 1
    assert err.count("Traceback") == 1
    assert "still there" not in out
