"""A history is read by names, by epochs, as a table, and as curves."""

import copy
import pickle
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import fastbp as fb

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
