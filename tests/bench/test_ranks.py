"""`python -m bench ranks`: its table from turns that are made up, and refusal where bits differ."""

import doctest

import pytest

from bench import cases, ranks
from bench.check import RefusedError

CASE = cases.named(["64-128"])[0]


@pytest.fixture
def turns(monkeypatch):
    """Turns that take a millisecond for each rank; each shards' digest is its number."""
    found = []

    def turn(case, side, seconds):
        found.append((case.name, side, seconds))
        digest = str(side.shards) if side.threads else "another"
        return {"seconds": 1e-3 * side.ranks, "digest": digest, "add": 2e-4, "largest": 1e-4, "bytes": 2.5e6}

    monkeypatch.setattr(ranks, "turn", turn)
    return found


def test_examples_in_the_sources():
    assert doctest.testmod(ranks).failed == 0


def test_each_side_has_a_row_and_ranks_their_parts(turns):
    rows = ranks.measure(CASE, ranks.sides([1, 2], 2), 3, 0.5)
    assert [row.split(" | ")[1:6] for row in rows] == [
        ["1", "2", "1", "1.00 (1.00..1.00)", "1.00 (1.00..1.00)"],
        ["1", "2", "2", "1.00 (1.00..1.00)", "1.00 (1.00..1.00)"],
        ["2", "1", "2", "2.00 (2.00..2.00)", "2.00 (2.00..2.00)"],
    ]
    assert rows[2].endswith("| 2.50 | 0.20 | 0.10 |")
    assert rows[1].endswith("|  |  |  |")
    assert len(turns) == 9


def test_ranks_with_other_bits_are_refused(turns):
    sides = [ranks.Side(1, 2, 2), ranks.Side(2, 0, 2)]
    with pytest.raises(RefusedError, match="64-128-64-10: ranks have other bits than one process"):
        ranks.measure(CASE, sides, 1, 0.5)


def test_the_options_reach_the_table(turns, capsys, monkeypatch):
    monkeypatch.setattr(ranks, "launcher", lambda: None)
    with pytest.raises(SystemExit):
        ranks.main(["--cases", "64-128", "--ranks", "1,2"])
    assert "there must be an `mpiexec`" in capsys.readouterr().err
    assert ranks.main(["--cases", "64-128", "--ranks", "1", "--rounds", "1"]) == 0
    assert capsys.readouterr().out.count("\n| 64-128-64-10, 64 |") == 2
