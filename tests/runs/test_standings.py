"""What a pack's run shows: a table that is drawn again on terminals, lines of a log elsewhere."""

import io
import re

import pytest

from fastbp.runs.standings import Standing, Standings, ranked


class Terminal(io.StringIO):
    def isatty(self):
        return True


def standing(i, epochs, best, at=1, left=False, about="lr 0.1"):
    return Standing(f"member {i}", epochs, 20, best, at, about, left)


def drawn(out, rounds, monkeypatch, width=100, height=24, **words):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(height))
    shown = Standings(out, **words)
    shown.begin("val_loss", False, 0, 0)
    for standings in rounds:
        shown.draw(standings, 1000.0, standings is rounds[-1])
    return shown


def screen(text, width=100):
    """The lines that a terminal shows after a text with the signs that are used."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[\d+A|\x1b\[J|\x1b\[\d+m|\r|\n)", text):
        if re.fullmatch(r"\x1b\[\d+m", part):
            continue
        if found := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(found[1])
            assert row >= 0
        elif part == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = ""
        elif part == "\r":
            pass
        elif part == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            lines[row] += part
            assert len(lines[row]) < width
    return lines


def test_a_terminal_has_the_best_members_and_nothing_of_before(monkeypatch):
    rounds = [[standing(i, n, 1.0 / (i + n), at=n) for i in range(9)] for n in (1, 5, 10)]
    out = Terminal()
    shown = drawn(out, rounds, monkeypatch)
    lines = screen(out.getvalue())
    assert re.fullmatch(r"━{9}╌{9}  9 of 9 train  +\d+ s left  [\d.]+[kM]? rows/s", lines[0])
    assert [line.split()[1] for line in lines[1:]] == ["8", "7", "6", "5", "4"]
    assert lines[1] == "member 8  10/20  best val_loss 0.05556  at 10  lr 0.1"
    shown.end()
    assert screen(out.getvalue()) == [""]


def test_more_is_better_where_it_is():
    found = [standing(0, 1, 0.5), standing(1, 1, None), standing(2, 1, 0.7), standing(3, 1, 0.5)]
    assert [one.name[-1] for one in ranked(found, upwards=True)] == ["2", "0", "3"]
    assert [one.name[-1] for one in ranked(found, upwards=False)] == ["0", "3", "2"]


@pytest.mark.parametrize("width", [40, 60, 120])
@pytest.mark.parametrize("height", [4, 5, 24])
def test_a_small_terminal_is_not_overflowed(width, height, monkeypatch):
    rounds = [[standing(i, n, 0.5, about="lr 0.123456 " * 5) for i in range(9)] for n in (1, 20)]
    out = Terminal()
    drawn(out, rounds, monkeypatch, width, height)
    lines = screen(out.getvalue(), width)
    assert len(lines) == 1 + max(1, min(5, height - 3))
    assert all(line.endswith("…") for line in lines[1:]) == (width < 120)


def test_a_log_has_a_line_for_each_tenth_and_the_end(monkeypatch):
    rounds = [[standing(0, n, 1.0 / n, at=n, left=n == 20), standing(1, n, None, left=n == 20)] for n in range(1, 21)]
    out = io.StringIO()
    drawn(out, [*rounds, rounds[-1]], monkeypatch)
    lines = [line.rpartition(", ")[0] for line in out.getvalue().splitlines()]
    assert lines == [
        f"{2 if n < 20 else 0} of 2 train, {2 * n}/40 epochs, best member 0 val_loss={1.0 / n:.4g} at {n}"
        for n in range(2, 21, 2)
    ]
    assert "\x1b" not in out.getvalue()


def test_nothing_is_shown_where_nobody_asks(monkeypatch):
    out = Terminal()
    drawn(out, [[standing(0, 1, 0.5)]], monkeypatch, quiet=True)
    assert out.getvalue() == ""


def test_messages_take_the_place_of_the_table(monkeypatch):
    out = Terminal()
    shown = drawn(out, [[standing(0, 1, 0.5), standing(1, 1, 0.4)]], monkeypatch)
    shown.say("a word")
    shown.draw([standing(0, 2, 0.5)], 10.0)
    lines = screen(out.getvalue())
    assert lines[0] == "fastbp: a word"
    assert lines[2].startswith("member 0")


def test_a_pipe_that_nobody_reads_ends_it(monkeypatch):
    class Closed(Terminal):
        def write(self, text):
            raise BrokenPipeError

    shown = drawn(Closed(), [[standing(0, 1, 0.5)]], monkeypatch)
    assert shown.quiet
