"""What a sweep shows: lines of a log, and a table that is drawn again."""

import io
from types import SimpleNamespace

import pytest

from fastbp.studies.board import Board


def trial(number, state, value=None, **settings):
    told = {"settings": settings, "epochs": 5, "best_epoch": 3, "seconds": 1.0}
    return SimpleNamespace(
        number=number,
        state=SimpleNamespace(name=state, is_finished=lambda: state != "RUNNING"),
        value=value,
        last_step=None,
        duration=None,
        params={},
        user_attrs={"told": told} if state != "RUNNING" else {},
    )


TRIALS = [
    trial(0, "COMPLETE", 0.5, lr=0.1),
    trial(1, "PRUNED", 0.9, lr=0.2),
    trial(2, "COMPLETE", 0.25, lr=0.3),
    trial(3, "FAIL"),
    trial(4, "RUNNING"),
]


def test_a_log_has_a_line_for_each_tenth():
    out = io.StringIO()
    board = Board(10, "val_loss", out)
    assert board.draw(TRIALS, False) == 4
    assert board.draw(TRIALS, False) == 4
    assert out.getvalue() == "4/10 trials, 1 running, 1 pruned, 1 failed, best val_loss=0.25 of trial 2, 0 s\n"


@pytest.mark.parametrize(("upwards", "best"), [(False, 2), (True, 0)])
def test_the_best_is_the_least_or_the_greatest(upwards, best):
    out = io.StringIO()
    Board(10, "val_r2", out).draw(TRIALS, upwards)
    assert f"of trial {best}, " in out.getvalue()


def test_a_terminal_has_the_best_trials_drawn_again(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = io.StringIO()
    board = Board(10, "val_loss", out)
    board.live = True
    board.draw(TRIALS[:1], False)
    first = out.getvalue().split("\n")
    assert first == ["━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  1/10 trials  - left", "trial 0     val_loss 0.5000    lr 0.1"]
    board._drawn = 0.0
    board.draw(TRIALS, False)
    cleared, *second = out.getvalue()[len("\n".join(first)) :].split("\n")
    assert cleared.startswith("\x1b[1A\r\x1b[J━━━━━━━")
    assert [line.split()[:2] for line in second] == [["trial", "2"], ["trial", "0"]]
    board.end()
    assert out.getvalue().endswith("\x1b[2A\r\x1b[J")


def test_a_quiet_one_writes_nothing():
    out = io.StringIO()
    board = Board(10, "val_loss", out, quiet=True)
    assert board.draw(TRIALS, False) == 4
    board.end()
    assert out.getvalue() == ""
