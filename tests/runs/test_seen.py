"""What is seen of a run: the live line, a line an epoch, curves."""

import io
import math
import os
import types
import xml.etree.ElementTree as ET

import pytest

from fastbp.pictures import terminal as plot
from fastbp.pictures.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curves
from fastbp.train.history import History
from fastbp.train.progress import Progress, clock, number, rate

ROWS = [
    {"epoch": 1, "loss": 1.0, "val_loss": 1.5, "val_accuracy": 0.5, "lr": 0.1},
    {"epoch": 2, "loss": 0.5, "val_loss": 0.75, "val_accuracy": 0.75, "lr": 0.1},
    {"epoch": 3, "loss": 0.25, "val_loss": 1.0, "val_accuracy": 0.7, "lr": 0.1},
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(epochs=3):
    trainer = types.SimpleNamespace(_batch_plan=types.SimpleNamespace(place=(1, 50)))
    return {"trainer": trainer, "epochs": epochs, "rows": 100, "monitor": "val_loss"}


def shown(out, **settings):
    progress, of = Progress(out, **settings), run()
    history = History()
    progress.begin(history, **of)
    for i, row in enumerate(ROWS):
        history.loss.append(row["loss"])
        history.samples += 100
        progress.epoch(history, row, i < 2)
        if progress.live:  # as if some time had passed
            progress._drawn = -math.inf
    progress.chunk(history)
    progress.end()
    return out.getvalue()


def test_elsewhere_than_on_a_terminal_there_is_a_line_an_epoch():
    lines = shown(io.StringIO()).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1/3 loss=1 val_loss=1.5 val_accuracy=0.5, best 1.5 at 1, ")
    assert [line.split(", ")[1] for line in lines] == ["best 1.5 at 1", "best 0.75 at 2", "best 0.75 at 2"]
    assert all(line.endswith(" rows/s") for line in lines)
    assert "\x1b" not in "".join(lines)


def logged(epochs, seconds, monkeypatch):
    """The epochs that have a line, of as many that take so long each."""
    now = [0.0]
    monkeypatch.setattr("fastbp.train.progress.time.perf_counter", lambda: now[0])
    out, of, history = io.StringIO(), run(epochs), History()
    progress = Progress(out)
    progress.begin(history, **of)
    for i in range(epochs):
        now[0] += seconds
        history.loss.append(1.0)
        progress.epoch(history, {"epoch": i + 1, "loss": 1.0, "val_loss": 1.0, "lr": 0.1}, i == 0)
    return [int(line.split()[1].split("/")[0]) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("epochs", "seconds", "lines"),
    [
        (7, 0.01, [1, 2, 3, 4, 5, 6, 7]),
        (100, 0.01, [*range(1, 101)]),
        (1507, 0.01, [1, *range(20, 1501, 20), 1507]),
        (1507, 20.0, [*range(1, 1508)]),
        (205, 4.0, [1, *sorted({*range(5, 206, 5), *(n + 3 for n in range(5, 205, 5)), 4})]),
    ],
)
def test_a_log_of_many_epochs_has_about_a_hundred_lines_and_no_long_silence(epochs, seconds, lines, monkeypatch):
    assert logged(epochs, seconds, monkeypatch) == lines


def test_a_log_has_lines_within_an_epoch_that_takes_minutes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("fastbp.train.progress.time.perf_counter", lambda: now[0])
    out, of = io.StringIO(), run()
    progress = Progress(out)
    progress.begin(History(), **of)
    for _ in range(7):
        now[0] += 20.0
        progress.chunk(History())
    assert out.getvalue().splitlines() == [
        "epoch 1/3 50% done, 5:00 min left, 1 rows/s",
        "epoch 1/3 50% done, 10:00 min left, 0 rows/s",
    ]


@pytest.fixture
def terminal(monkeypatch):
    """Lines drawn on a terminal of a width."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def lines(width):
        monkeypatch.setattr("shutil.get_terminal_size", lambda fallback=None: os.terminal_size((width, 24)))
        return shown(Terminal()).split("\r\x1b[2K")[1:]

    return lines


def plain(line):
    return line.replace("\x1b[32m", "").replace("\x1b[0m", "")


def test_on_a_terminal_one_line_is_drawn_again(terminal):
    *_, last, end = terminal(160)
    assert last.startswith(
        "\x1b[32m━━━━━━━━━━━━━━━━━━\x1b[0m  3/3  best 0.7500   at 2       0 s left  loss 0.2500    val_loss 1.000 "
    )
    assert last.endswith(" rows/s")
    assert "\n" not in last
    assert end == ""  # nothing is left of it


PARTS = ["━", "3/3", "best 0.7500", "left", " loss", "val_loss", "val_accuracy", "rows/s"]


def test_a_narrow_terminal_loses_the_bar_first_and_the_best_epoch_last(terminal):
    seen = []
    for width in range(160, 19, -1):
        line = plain(terminal(width)[-2])
        assert len(line) < width
        there = [part for part in PARTS if part in line]
        if not seen or seen[-1] != there:
            seen.append(there)
    assert seen == [PARTS, *(PARTS[1:count] for count in range(len(PARTS), 1, -1))]


def test_no_number_moves_another(terminal, monkeypatch):
    monkeypatch.setattr("fastbp.train.progress.EVERY", -1.0)
    first, *others = [plain(line) for line in terminal(160)[:-1]]
    assert len(others) == 3
    for line in others:
        for part in PARTS[2:]:
            part = part.split()[0]
            assert line.index(part) == first.index(part), part


@pytest.mark.parametrize("live", [True, False])
def test_a_run_that_is_stopped_leaves_how_far_it_has_come(live):
    out, of, history = io.StringIO(), run(), History()
    progress = Progress(out, live=live)
    progress.begin(history, **of)
    history.loss.append(1.0)
    progress.epoch(history, ROWS[0], True)
    progress.stopped()
    assert out.getvalue().split("\r\x1b[2K")[-1].splitlines()[-1] == "stopped after epoch 1 of 3, best 1.5 at 1"


def test_a_run_that_is_stopped_before_its_first_epoch_has_no_best():
    out = io.StringIO()
    progress = Progress(out)
    progress.begin(History(), **run())
    progress.stopped()
    assert out.getvalue() == "stopped after epoch 0 of 3\n"


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32m" not in shown(Terminal())


def test_quiet_writes_nothing():
    assert shown(Terminal(), quiet=True) == ""


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.123456, "0.1235"), (123456.0, "1.235e+05"), (1.0, "1")])
def test_numbers_are_short(value, text):
    assert number(value) == text


def test_rates_and_times_are_short():
    assert [rate(v) for v in (12.4, 1234.0, 2.5e6)] == ["12", "1.2k", "2.5M"]
    assert [clock(v) for v in (0.4, 59.6, 3725.0)] == ["0 s", "1:00 min", "1:02:05 h"]


# Curves


def drawn(rows):
    root = ET.fromstring(curves(rows))
    name = "{http://www.w3.org/2000/svg}"
    lines = [[tuple(map(float, p.split(","))) for p in e.get("points").split()] for e in root.iter(name + "polyline")]
    return root, lines, [e.text for e in root.iter(name + "text")]


def test_a_curve_goes_where_its_numbers_are():
    root, (loss, val_loss, accuracy), words = drawn(ROWS)
    assert [x for x, _ in loss] == [x for x, _ in val_loss] == [x for x, _ in accuracy]
    assert loss[0][0] == LEFT
    assert loss[2][0] == WIDTH - RIGHT
    # Heights fall as losses do, on one scale: 1.5 is at the top, 0.25 at the bottom of the first panel.
    low = HEIGHT - BOTTOM
    assert val_loss[0][1] == TOP
    assert loss[2][1] == low
    middle = low - (low - TOP) * (1.0 - 0.25) / (1.5 - 0.25)
    assert math.isclose(loss[0][1], middle, abs_tol=0.06)
    assert min(y for _, y in accuracy) > HEIGHT  # a panel of its own below
    assert {"loss 0.25", "val_loss 1", "val_accuracy 0.7"} <= set(words)
    assert root.get("height") == str(2 * HEIGHT)


@pytest.mark.parametrize("rows", [[], ROWS[:1], [{"epoch": 0, "loss": math.nan, "lr": 1.0}] * 2])
def test_few_and_strange_numbers_draw_too(rows):
    ET.fromstring(curves(rows))


def test_constant_numbers_draw_a_line_across():
    _, (loss,), _ = drawn([{"epoch": i, "loss": 2.0, "lr": 0.1} for i in range(4)])
    assert len({y for _, y in loss}) == 1


def test_the_terminal_shows_the_same_curve():
    lines = plot.plot(ROWS, ["loss", "val_loss"], 60, 8, best=2).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("   1.5 ")
    assert lines[7].startswith("  0.25 ")
    assert sum(line.count("loss") for line in lines) == 2
    assert [line.split()[-1] for line in lines if line.endswith("loss")] == ["val_loss", "loss"]  # as the curves end
    assert lines[8].split() == ["1", "2", "3", "epoch"]
    assert lines[9].split() == ["▲", "best", "epoch", "2"]
    assert abs(lines[9].index("▲") - lines[8].index("2")) <= 1
    assert plot.plot([{"loss": None}], ["loss"], 60, 8) == "nothing to draw"


@pytest.mark.parametrize("width", [40, 70, 100, 160])
@pytest.mark.parametrize("epochs", [1, 2, 9, 1000])
def test_the_terminal_has_its_axis_and_its_mark_within_its_width(width, epochs):
    rows = [{"epoch": i, "loss": 10.0 ** (-3 * i / epochs), "val_loss": 1.0} for i in range(epochs)]
    for best in (1, epochs // 2 + 1, epochs):
        lines = plot.plot(rows, ["loss", "val_loss"], width, 10, best).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[-2].split()[0] == "1"
        assert lines[-2].split()[-2] == str(epochs)
        assert f"best epoch {best}" in lines[-1]
    if epochs == 1000:
        assert lines[0] == "loss, logarithmic"
        top = [next(i for i, line in enumerate(lines) if ord(line[at : at + 1] or " ") > 0x2800) for at in (8, 20)]
        ends = [i for i, line in enumerate(lines) if line.endswith((" loss", "val_loss"))]
        assert top[0] <= 2
        assert ends == [1, 10]
