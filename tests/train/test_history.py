"""A history is read by names, by epochs, as a table, and as curves."""

import copy
import pickle
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import fastbp as fb
from fastbp.train.held_out import HeldOut

X = np.random.default_rng(0).standard_normal((60, 4)).astype("f4")
Y = np.arange(60) % 3


@pytest.fixture(scope="module")
def history():
    trainer = fb.Trainer(fb.mlp([4, 8, 3]))
    return trainer.fit(X[:40], Y[:40], 5, validation=(X[40:], Y[40:]), metrics=["accuracy"])


def test_by_name_there_are_lists_as_items_and_as_attributes(history):
    assert history["val_loss"] is history.val_loss
    assert history["val_accuracy"] is history.val_accuracy is history.metrics["val_accuracy"]
    assert dict(history) == {name: history[name] for name in ("loss", "val_loss", "val_accuracy", "lr")}
    with pytest.raises(AttributeError) as info:
        history.val_acuracy  # noqa: B018
    assert str(info.value) == "a history has `loss`, `val_loss`, `lr`, `val_accuracy`, got `val_acuracy`"
    with pytest.raises(KeyError, match="a history has `loss`, `val_loss`, `lr`, `val_accuracy`, got `acc`"):
        history["acc"]


def test_an_attribute_that_is_missing_does_not_stop_copies(history):
    for again in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert again == history
        assert again.val_accuracy == history.val_accuracy


def test_as_a_sequence_it_has_a_dict_for_each_epoch(history):
    rows = list(history)
    assert len(history) == len(rows) == 5
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert [*rows[0]] == ["epoch", "loss", "val_loss", "val_accuracy", "lr"]
    assert [row["val_accuracy"] for row in rows] == history.val_accuracy


def test_what_was_not_measured_in_the_last_epoch_is_none_there():
    rows = list(fb.History(loss=[2.0, 1.0], val_loss=[3.0], metrics={"val_r2": []}))
    assert [row["val_loss"] for row in rows] == [3.0, None]
    assert rows[0] == {"epoch": 1, "loss": 2.0, "val_loss": 3.0, "val_r2": None}


def test_pandas_and_polars_read_it_as_a_table(history):
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(list(history))
    assert table.columns == ["epoch", "loss", "val_loss", "val_accuracy", "lr"]
    assert table["val_loss"].to_list() == history.val_loss
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(history)
    assert list(table.columns) == ["epoch", "loss", "val_loss", "val_accuracy", "lr"]
    assert table["val_loss"].tolist() == history.val_loss


def texts(svg):
    return [t.text for t in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_its_curves_are_a_picture_with_the_last_numbers_and_the_best_epoch(history, tmp_path):
    picture = history.plot()
    said = texts(str(picture))
    assert f"val_loss {history.val_loss[-1]:.4g}" in said
    assert f"val_accuracy {history.val_accuracy[-1]:.4g}" in said
    assert f"best epoch {history.best_epoch}" in said
    picture.save(tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text(encoding="utf-8") == str(picture)


def test_notebooks_show_its_text_and_its_curves(history):
    html = history._repr_html_()
    assert repr(history) in html
    assert str(history.plot()) in html
    assert " id=" not in html
    assert "<svg" in fb.History()._repr_html_()  # one without an epoch is shown too


# Fits that go on


def begun(epochs=3, **measured):
    trainer = fb.Trainer(fb.mlp([4, 8, 3]), batch_size=16)
    return trainer, trainer.fit(X[:40], Y[:40], epochs, **measured)


HELD_OUT = {"validation": (X[40:], Y[40:])}


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({}, {}, "`validation` must be left out, as `history` has epochs without a `val_loss`"),
        ({}, {"metrics": ["accuracy"]}, "`metrics` must be among those of `history`, none, got `accuracy`"),
        (
            {**HELD_OUT, "metrics": ["accuracy"]},
            {"metrics": ["accuracy", "brier"]},
            "`metrics` must be among those of `history`, `accuracy`, got `brier`",
        ),
    ],
)
def test_a_fit_that_goes_on_measures_nothing_else(before, now, message):
    trainer, history = begun(**before)
    as_it_was, flat = copy.deepcopy(history), trainer.net.flat
    with pytest.raises(fb.ConfigError) as info:
        trainer.fit(X[:40], Y[:40], 5, history=history, **HELD_OUT, **now)
    assert str(info.value) == message
    assert history == as_it_was
    np.testing.assert_array_equal(trainer.net.flat, flat)


def test_before_its_first_epoch_anything_may_be_measured():
    trainer, _ = begun(0)
    history = trainer.fit(X[:40], Y[:40], 2, history=fb.History(), metrics=["accuracy"], **HELD_OUT)
    assert [len(history[name]) for name in history.names] == [2, 2, 2]


@pytest.mark.parametrize("part", ["loss_of", "outputs_of"])
def test_an_epoch_that_was_left_while_it_was_measured_is_measured_first(part, monkeypatch):
    seen, measured = [], {**HELD_OUT, "metrics": ["accuracy"], "callbacks": [lambda t, h: seen.append(len(h.val_loss))]}
    whole = begun(4, **measured)
    left, history = begun(2, **measured)
    seen.clear()

    def leaving(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, part, leaving)
        patched.setattr(HeldOut, "metrics", HeldOut.metrics if part == "loss_of" else leave_later(HeldOut.metrics))
        with pytest.raises(KeyboardInterrupt):
            left.fit(X[:40], Y[:40], 4, history=history, **measured)
    assert [len(history[name]) for name in history.names] == [3, 2, 2]
    left.fit(X[:40], Y[:40], 4, history=history, **measured)
    assert seen == [3, 4]
    assert dict(history) == dict(whole[1])
    np.testing.assert_array_equal(left.net.flat, whole[0].net.flat)


def leave_later(metrics):
    """Metrics that can be taken once, before a fit begins."""
    taken = []

    def once(*arguments):
        taken.append(arguments)
        return {} if len(taken) == 1 else metrics(*arguments)

    return once
