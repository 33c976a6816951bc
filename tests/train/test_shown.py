"""What a fit shows: a live line on terminals and in notebooks, lines of a log elsewhere."""

import io
import re
import sys
import types

import numpy as np
import pytest

import fastbp as fb

X = np.random.default_rng(0).standard_normal((60, 4)).astype("f4")
Y = np.arange(60) % 3


def trainer():
    return fb.Trainer(fb.mlp([4, 8, 3]))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, out, **words):
    monkeypatch.setattr(sys, "stderr", out)
    history = trainer().fit(X, Y, **{"epochs": 4, "verbose": True, **words})
    return history, re.sub(r", [\d.]+[kM]? rows/s", "", out.getvalue())


def test_a_log_has_a_line_for_each_epoch(monkeypatch):
    history, text = shown(monkeypatch, io.StringIO(), validation=0.2, metrics=["accuracy"])
    best = [min(history.val_loss[: i + 1]) for i in range(4)]
    assert text.splitlines() == [
        f"epoch {i + 1}/4 loss={history.loss[i]:.4g} val_loss={history.val_loss[i]:.4g}"
        f" val_accuracy={history.val_accuracy[i]:.4g}, best {best[i]:.4g} at {history.val_loss.index(best[i]) + 1}"
        for i in range(4)
    ]


def test_without_validation_no_epoch_is_the_best(monkeypatch):
    history, text = shown(monkeypatch, io.StringIO())
    assert text.splitlines()[-1] == f"epoch 4/4 loss={history.loss[-1]:.4g}"


def test_a_terminal_has_a_live_line_and_keeps_the_last_epoch(monkeypatch):
    monkeypatch.setattr("fastbp.train.progress.EVERY", -1.0)
    history, text = shown(monkeypatch, Terminal(), validation=0.2)
    *drawn, last, nothing = re.split(r"\r\x1b\[2K|\n", text)
    assert nothing == ""
    counts = [re.search(r"(\d)/4", line)[1] for line in drawn if line]
    assert [*dict.fromkeys(counts)] == ["0", "1", "2", "3", "4"]
    assert f"val_loss {history.val_loss[-1]:.4g}" in drawn[-1]
    assert last.startswith(f"epoch 4/4 loss={history.loss[-1]:.4g} val_loss={history.val_loss[-1]:.4g}, best ")
    assert "\n" not in text[:-1]


def test_two_is_a_log_on_terminals_too(monkeypatch):
    _, text = shown(monkeypatch, Terminal(), verbose=2)
    assert len(text.splitlines()) == 4
    assert "\r" not in text


def test_what_ended_a_fit_early_is_said(monkeypatch):
    early = fb.EarlyStopping(patience=1, min_delta=9.0)
    _, text = shown(monkeypatch, io.StringIO(), validation=0.2, callbacks=[early])
    assert text.splitlines()[-1] == "stopped because `val_loss` did not improve for 1 epochs"
    assert len(text.splitlines()) == 3


def test_a_long_fit_that_is_ended_has_its_last_epoch(monkeypatch):
    def end(trainer, history):
        if len(history.loss) == 7:
            history.stopped = "it is enough"

    _, text = shown(monkeypatch, io.StringIO(), epochs=2000, callbacks=[end])
    lines = text.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["1/2000", "7/2000"]
    assert lines[-1] == "stopped because it is enough"


def test_nothing_is_shown_by_default(monkeypatch):
    assert shown(monkeypatch, Terminal(), verbose=False)[1] == ""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    trainer().fit(X, Y, 2)
    assert out.getvalue() == ""


def test_what_is_shown_changes_no_bit(monkeypatch):
    quiet, loud = trainer(), trainer()
    monkeypatch.setattr(sys, "stderr", Terminal())
    quiet.fit(X, Y, 3)
    loud.fit(X, Y, 3, verbose=True)
    assert quiet.net.flat.tobytes() == loud.net.flat.tobytes()


def test_lbfgs_shows_its_iterations(monkeypatch):
    pytest.importorskip("scipy")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    fb.LBFGS(fb.mlp([4, 8, 3], "tanh")).fit(X, Y, 3, verbose=True)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["1/3", "2/3", "3/3"]


class Notebook:
    """IPython as far as a cell needs it: it keeps what is displayed, and how often it was replaced."""

    def __init__(self, monkeypatch):
        self.cells, self.texts, self.updates = [], [], 0
        display = types.ModuleType("IPython.display")
        display.display = self.display
        ipython = types.ModuleType("IPython")
        ipython.get_ipython = lambda: types.SimpleNamespace(kernel="a kernel")
        ipython.display = display
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, data, raw, display_id):
        assert raw
        assert display_id is True
        self.cells.append(data["text/plain"])
        self.texts.append(data["text/plain"])
        return self

    def update(self, data, raw):
        assert raw
        self.updates += 1
        self.cells[-1] = data["text/plain"]
        self.texts.append(data["text/plain"])


def test_a_notebook_has_one_line_that_is_replaced(monkeypatch):
    notebook = Notebook(monkeypatch)
    history, text = shown(monkeypatch, io.StringIO(), validation=0.2)
    assert text == ""
    (cell,) = notebook.cells
    assert notebook.updates >= 1
    assert cell.startswith(f"epoch 4/4 loss={history.loss[-1]:.4g} val_loss={history.val_loss[-1]:.4g}, best ")
    assert all(text and "\r" not in text and "\x1b" not in text for text in notebook.texts)


def test_why_a_fit_ended_stands_beside_the_last_epoch_in_a_notebook(monkeypatch):
    notebook = Notebook(monkeypatch)
    shown(monkeypatch, io.StringIO(), callbacks=[fb.EarlyStopping(patience=1, min_delta=9.0, monitor="loss")])
    (cell,) = notebook.cells
    assert cell.startswith("epoch 2/4 ")
    assert cell.endswith("stopped because `loss` did not improve for 1 epochs\n")


@pytest.mark.parametrize("value", [3, -1, "yes", None, 1.5, [1]])
def test_what_says_no_way_to_show_it_is_refused(value):
    with pytest.raises(fb.ConfigError) as info:
        trainer().fit(X, Y, verbose=value)
    assert str(info.value) == f"`verbose` must be True, False, or 2 for lines of a log, got `{value!r}`"
