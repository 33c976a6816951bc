"""Thousands of mutants of configurations, tables and commands: a sentence or an answer, and never another one."""

import sys

import pytest

from tests.faults.mutants import Watched
from tests.faults.server import WHOLE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes are waited for as POSIX has them")
SEED = 0
COUNTS = {"config": (60, 4000), "table": (200, 4500), "command": (60, 1500)}  # here, and by `scripts/faults`


@pytest.fixture(scope="module")
def watched():
    with Watched(SEED) as watched:
        watched.prepare()
        yield watched


@pytest.mark.parametrize("kind", COUNTS)
def test_a_mutant_is_answered_in_a_sentence_or_taken_for_what_it_says(kind, watched, capsys):
    count = COUNTS[kind][WHOLE]
    accepted = sum(watched.tried(kind, number) for number in range(count))
    with capsys.disabled():
        print(f" {count:,} mutants of seed {SEED}: {count - accepted:,} refused, {accepted:,} accepted", end="")
    assert 0.1 * count < accepted < 0.9 * count


WRONG = {
    "raise": "ZeroDivisionError: division by zero",
    "warn": "a warning: ['overflow']",
    "end": "the process ended, -6",
    "hang": "no answer in 0.5 s",
    "bell": r"control characters or length: 'fastbp: a \x07\n'",
    "long": "control characters or length: 'fastbp: aaaa",
    "two": r"more than a sentence: 'fastbp: a\nb\n'",
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_watch_sees_what_goes_wrong(kind, monkeypatch):
    monkeypatch.setattr("tests.faults.mutants.SECONDS", 0.5)
    with Watched(7) as watched, pytest.raises(AssertionError) as info:
        watched.tried(kind, 3)
    assert str(info.value).startswith(f"{kind} 3 of seed 7: ")
    assert WRONG[kind] in str(info.value)
    assert f"(echo runs 0; echo {kind} 3) | python -m tests.faults.mutants /tmp/empty 7" in str(info.value)
