"""What is seen of a run: the live line, a line an epoch, curves."""

import io
import math
import os
import types
import xml.etree.ElementTree as ET

import pytest

from fastbp.pictures import terminal as plot
from fastbp.pictures.curves import curves
from fastbp.runs.progress import Progress, clock, number, rate
from fastbp.train.history import History

ROWS = [
    {"epoch": 1, "loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.5, "lr": 0.1},
    {"epoch": 2, "loss": 0.5, "val_loss": 0.75, "val_accuracy": 0.75, "lr": 0.1},
    {"epoch": 3, "loss": 0.25, "val_loss": 1.0, "val_accuracy": 0.7, "lr": 0.1},
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(epochs=3):
    said = types.SimpleNamespace(trainer=types.SimpleNamespace(epochs=epochs))
    plan = types.SimpleNamespace(place=(1, 50))
    return types.SimpleNamespace(
        plan=types.SimpleNamespace(config=said),
        subject=types.SimpleNamespace(parts={"train": range(100)}),
        monitor=types.SimpleNamespace(name="val_loss"),
        trainer=types.SimpleNamespace(_batch_plan=plan),
    )


def shown(out, **settings):
    progress, of = Progress(out, **settings), run()
    history = History()
    progress.begin(of, history)
    for i, row in enumerate(ROWS):
        history.loss.append(row["loss"])
        history.samples += 100
        progress.epoch(of, history, row, i < 2)
        progress._drawn = -math.inf
    progress.chunk(of, history)
    progress.end()
    return out.getvalue()


def test_elsewhere_than_on_a_terminal_there_is_a_line_an_epoch():
    lines = shown(io.StringIO()).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1/3 loss=1 val_loss=1.5 val_accuracy=0.5 ")
    assert [line.endswith("/s *") for line in lines] == [True, True, False]
    assert "\x1b" not in "".join(lines)


def test_on_a_terminal_one_line_is_drawn_again(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = shown(Terminal())
    assert "\n" not in text
    last = text.split("\r\x1b[2K")[-2]
    assert "\x1b[32m" in last
    assert "3/3 0:00 left loss 0.25 val_loss 1 val_accuracy 0.7 best 0.75 at 2 " in last
    assert last.endswith("/s")
    assert text.endswith("\r\x1b[2K")  # nothing is left of it


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32m" not in shown(Terminal())


def test_a_line_is_no_wider_than_the_terminal(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback=None: os.terminal_size((50, 24)))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert max(len(part) for part in shown(Terminal()).split("\r\x1b[2K")) <= 50


def test_quiet_writes_nothing():
    assert shown(Terminal(), quiet=True) == ""


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.123456, "0.1235"), (123456.0, "1.235e+05"), (1.0, "1")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_rates_and_times_are_short():
    assert [rate(v) for v in (12.4, 1234.0, 2.5e6)] == ["12", "1.2k", "2.5M"]
    assert [clock(v) for v in (0.4, 59.6, 3725.0)] == ["0:00", "1:00", "1:02:05"]


# Curves


def drawn(rows):
    root = ET.fromstring(curves(rows))
    name = "{http://www.w3.org/2000/svg}"
    lines = [[tuple(map(float, p.split(","))) for p in e.get("points").split()] for e in root.iter(name + "polyline")]
    return root, lines, [e.text for e in root.iter(name + "text")]


def test_a_curve_goes_where_its_numbers_are():
    root, (loss, val_loss, accuracy), words = drawn(ROWS)
    assert [x for x, _ in loss] == [x for x, _ in val_loss] == [x for x, _ in accuracy]
    assert loss[0][0] == 64.0
    assert loss[2][0] == 600.0
    # Heights fall as losses do, on one scale: 1.5 is at the top, 0.25 at the bottom of the first panel.
    assert val_loss[0][1] == 24.0
    assert loss[2][1] == 226.0
    middle = 226.0 - (226.0 - 24.0) * (1.0 - 0.25) / (1.5 - 0.25)
    assert math.isclose(loss[0][1], middle, abs_tol=0.06)
    assert min(y for _, y in accuracy) > 260.0  # a panel of its own below
    assert {"loss", "val_loss", "val_accuracy"} <= set(words)
    assert root.get("height") == "520"


@pytest.mark.parametrize("rows", [[], ROWS[:1], [{"epoch": 0, "loss": math.nan, "lr": 1.0}] * 2])
def test_few_and_strange_numbers_draw_too(rows):
    ET.fromstring(curves(rows))


def test_constant_numbers_draw_a_line_across():
    _, (loss,), _ = drawn([{"epoch": i, "loss": 2.0, "lr": 0.1} for i in range(4)])
    assert len({y for _, y in loss}) == 1


def test_the_terminal_shows_the_same_curve():
    text = plot.plot(ROWS, ["loss", "val_loss"], 60, 8)
    lines = text.splitlines()
    assert len(lines) == 8
    assert lines[0].startswith(" 1.5")
    assert lines[-1].startswith("0.25")
    assert sum(line.count("loss") for line in lines) == 2
    assert plot.plot([{"loss": None}], ["loss"], 60, 8) == "nothing to draw"
