"""Scalars for TensorBoard: losses, metrics and the learning rate of every epoch, by step."""

import struct
import sys

import numpy as np
import pytest

import fastbp as fb

X = np.random.default_rng(0).standard_normal((60, 4)).astype("f4")
Y = np.arange(60) % 3


def fit(callback, **words):
    trainer = fb.Trainer(fb.mlp([4, 8, 3]), batch_size=20, schedule="cosine")
    return trainer.fit(X, Y, **{"epochs": 3, "callbacks": [callback], **words})


def scalars(folder):
    """(tag, step) to number, from the event files of a folder: records of a length, a checksum, an event, another."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
            found.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
            at += size + 16
    return found


def test_every_epoch_has_its_numbers_by_step(tmp_path):
    pytest.importorskip("tensorboardX")
    history = fit(fb.TensorBoard(tmp_path / "logs" / "one"), validation=0.2, metrics=["accuracy"])
    wanted = {}
    for i, step in enumerate((3, 6, 9)):
        wanted["loss/training", step] = history.loss[i]
        wanted["loss/validation", step] = history.val_loss[i]
        wanted["accuracy/validation", step] = history.val_accuracy[i]
        wanted["lr", step] = history.lr[i]
    assert scalars(tmp_path / "logs" / "one") == pytest.approx(wanted, rel=1e-6)


def test_it_writes_several_fits_and_is_pickled_between_them(tmp_path):
    pytest.importorskip("tensorboardX")
    import pickle

    board = fb.TensorBoard(tmp_path)
    fit(board)
    assert pickle.dumps(board) == pickle.dumps(fb.TensorBoard(tmp_path))  # nothing of the fit stays
    board = pickle.loads(pickle.dumps(board))
    fit(board, epochs=5)
    assert {step for tag, step in scalars(tmp_path) if tag == "loss/training"} == {3, 6, 9, 12, 15}


def test_a_fit_that_is_refused_leaves_no_folder(tmp_path):
    pytest.importorskip("tensorboardX")
    with pytest.raises(fb.ConfigError):
        fit(fb.TensorBoard(tmp_path / "logs"), callbacks=[fb.TensorBoard(tmp_path / "logs"), fb.EarlyStopping()])
    assert not (tmp_path / "logs").exists()


def test_without_the_package_it_says_what_to_install_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(fb.DependencyError) as info:
        fit(fb.TensorBoard(tmp_path / "logs"))
    assert str(info.value) == (
        '`TensorBoard` needs tensorboardX, which is not installed\nhint: pip install "fastbp[tensorboard]"'
    )
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("path", [None, "", 3])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(fb.ConfigError) as info:
        fb.TensorBoard(path)
    assert str(info.value).startswith("`TensorBoard.log_dir` must be a path, got ")
