"""Callbacks that write files: what is in them, when, and that training never notices."""

import csv
import errno
import io
import json
import os

import numpy as np
import pytest

import fastbp as fb
from fastbp.train import held_out as measuring
from fastbp.train.writers import _add
from tests.model.chains import DTYPES, data

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_logger = pytest.mark.parametrize("logger", [fb.CSVLogger, fb.JSONLogger])

COLUMNS = ["epoch", "step", "loss", "val_loss", "val_accuracy", "lr", "seconds"]


def setting(dtype="float32", layers=None, loss="cross_entropy", **settings):
    layers = layers or [fb.Linear(9), fb.Tanh(), fb.Linear(4)]
    net = fb.Network(layers, inputs=5, seed=1, dtype=dtype)
    training = fb.Trainer(net, loss=loss, **{"optimizer": fb.Adam(1e-2), "batch_size": 8, **settings})
    return training, *data(net, 50, loss), data(net, 20, loss, seed=2)


def validates_to(values, monkeypatch):
    left = iter(values)
    monkeypatch.setattr(fb.Network, "evaluate_checked", lambda self, *_: next(left))


def rows_of(path):
    """What a logger wrote, numbers as numbers."""
    if path.suffix == ".json":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {k: int(v) if k in ("epoch", "step") else float(v) for k, v in row.items()} for row in csv.DictReader(file)
        ]


def path_for(logger, folder):
    return folder / ("log.csv" if logger is fb.CSVLogger else "log.json")


# Tables


@every_dtype
@every_logger
def test_a_log_is_the_history_to_the_last_bit(logger, dtype, tmp_path):
    path = path_for(logger, tmp_path / "some" / "folder")
    training, X, y, held_out = setting(dtype, schedule=fb.Cosine(warmup=3))
    training.run(X, y, steps=2)
    seconds = []
    note = lambda trainer, history: seconds.append(history.seconds)  # noqa: E731
    history = training.fit(X, y, 4, held_out, callbacks=[logger(path), note], metrics=["accuracy"])
    names = COLUMNS[2:-1]
    assert rows_of(path) == [
        {"epoch": i + 1, "step": 2 + 7 * (i + 1), **{n: history[n][i] for n in names}, "seconds": seconds[i]}
        for i in range(4)
    ]
    assert [list(row) for row in rows_of(path)] == [COLUMNS] * 4


@every_logger
def test_a_log_has_the_columns_that_were_measured(logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    training.fit(X, y, 2, callbacks=[logger(str(path))])
    assert [list(row) for row in rows_of(path)] == [["epoch", "step", "loss", "lr", "seconds"]] * 2


@every_logger
def test_a_log_goes_on_where_it_is_told_to(logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    steps = []
    for append in (True, True, False, True):
        one = logger(path, append=append)
        training.fit(X, y, 2, callbacks=[one])
        steps.append([row["step"] for row in rows_of(path)])
    assert steps == [[7, 14], [7, 14, 21, 28], [35, 42], [35, 42, 49, 56]]
    assert path.read_text().count("epoch") == (1 if logger is fb.CSVLogger else 4)


@every_logger
def test_a_logger_may_be_used_again(logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    one = logger(path)
    for epochs in (3, 2):
        training.fit(X, y, epochs, callbacks=[one])
        assert [row["epoch"] for row in rows_of(path)] == list(range(1, epochs + 1))


@every_logger
def test_a_log_can_be_read_after_each_epoch(logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    counts = []
    training.fit(X, y, 3, callbacks=[logger(path), lambda *_: counts.append(len(rows_of(path)))])
    assert counts == [1, 2, 3]


@every_logger
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_log_is_whole_and_closed_when_a_fit_fails(error, logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    one = logger(path, append=True)
    opened = []

    class Failing(fb.Callback):
        def epoch(self, trainer, history):
            opened.append(one._file)
            if len(history.loss) == 3:
                raise error

    with pytest.raises(error):
        training.fit(X, y, 9, callbacks=[Failing(), one])
    assert opened[-1].closed
    assert [row["epoch"] for row in rows_of(path)] == [1, 2]
    training.fit(X, y, 1, callbacks=[one])
    assert [row["epoch"] for row in rows_of(path)] == [1, 2, 1]


@every_logger
def test_a_callback_that_is_refused_leaves_the_log_of_another_alone(logger, tmp_path):
    path = path_for(logger, tmp_path)
    path.write_text("of yesterday\n")
    training, X, y, _ = setting()
    one = logger(path)
    with pytest.raises(fb.ConfigError):
        training.fit(X, y, 1, callbacks=[one, fb.EarlyStopping(monitor="val_loss")])
    opened = one._file
    if opened is not None:
        opened.close()
    assert path.read_text() == "of yesterday\n"
    assert opened is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_null_in_json_and_stays_a_number_in_csv(value, tmp_path, monkeypatch):
    validates_to([value, 1.5], monkeypatch)
    training, X, y, held_out = setting()
    table, lines = tmp_path / "log.csv", tmp_path / "log.json"
    training.fit(X, y, 2, held_out, callbacks=[fb.CSVLogger(table), fb.JSONLogger(lines)])
    assert [row["val_loss"] for row in rows_of(lines)] == [None, 1.5]
    np.testing.assert_array_equal([row["val_loss"] for row in rows_of(table)], [value, 1.5])
    strict = lambda constant: pytest.fail(f"{constant} is not JSON")  # noqa: E731
    for line in lines.read_text().splitlines():
        json.loads(line, parse_constant=strict)


class Full(io.BytesIO):
    """A disk on which half of a line fits."""

    def write(self, line):
        if self.tell() > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(line[: 20 - self.tell() or 1])


def test_of_a_line_that_does_not_fit_nothing_stays():
    file = Full()
    _add(file, b"a whole line\n")
    with pytest.raises(OSError, match="No space left"):
        _add(file, b"a line that does not fit\n")
    assert file.getvalue() == b"a whole line\n"
    _add(file, b"short\n")
    assert file.getvalue() == b"a whole line\nshort\n"


@every_logger
def test_a_line_that_a_crash_cut_off_stays_alone(logger, tmp_path):
    path = path_for(logger, tmp_path)
    training, X, y, _ = setting()
    training.fit(X, y, 2, callbacks=[logger(path)])
    before = path.read_bytes()[:-4]
    path.write_bytes(before)
    training.fit(X, y, 1, callbacks=[logger(path, append=True)])
    assert path.read_bytes().startswith(before + b"\n")
    assert path.read_text().count("\n") == before.count(b"\n") + 2


@every_logger
def test_a_log_that_cannot_be_written_is_an_error_that_names_it(logger, tmp_path):
    (tmp_path / "file").write_text("")
    training, X, y, _ = setting()
    path = tmp_path / "file" / "log"
    with pytest.raises(fb.FileError) as info:
        training.fit(X, y, 2, callbacks=[logger(path)])
    assert str(info.value) == f"`{path}` must be a file that can be written (Not a directory)"


# Networks


@every_dtype
def test_a_network_is_saved_after_each_epoch_under_its_own_name(dtype, tmp_path):
    training, X, y, held_out = setting(dtype)
    outputs = []
    template = tmp_path / "deep" / "down" / "{epoch:03d}-{step}-{val_loss:.4f}-{val_accuracy}-{lr:g}.safetensors"
    callbacks = [fb.ModelCheckpoint(template), lambda trainer, history: outputs.append(trainer.net.predict(X))]
    history = training.fit(X, y, 3, held_out, callbacks=callbacks, metrics=["accuracy"])
    names = [
        f"{i + 1:03d}-{7 * (i + 1)}-{history.val_loss[i]:.4f}-{history['val_accuracy'][i]}-0.01.safetensors"
        for i in range(3)
    ]
    assert sorted(path.name for path in template.parent.iterdir()) == sorted(names)
    assert callbacks[0].saved == template.parent / names[-1]
    for name, expected in zip(names, outputs, strict=True):
        loaded = fb.load(template.parent / name)
        assert loaded.predict(X).tobytes() == expected.tobytes()
        assert loaded.evaluate(*held_out) == history.val_loss[names.index(name)]


def test_names_may_be_of_folders_too(tmp_path):
    training, X, y, _ = setting()
    training.fit(X, y, 2, callbacks=[fb.ModelCheckpoint(tmp_path / "epoch{epoch}" / "net.safetensors")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch1", "epoch2"]
    assert fb.load(tmp_path / "epoch2" / "net.safetensors").flat.tobytes() == training.net.flat.tobytes()


def test_braces_that_are_doubled_are_braces(tmp_path):
    training, X, y, _ = setting()
    training.fit(X, y, 1, callbacks=[fb.ModelCheckpoint(tmp_path / "{{{epoch}}}.safetensors")])
    assert [path.name for path in tmp_path.iterdir()] == ["{1}.safetensors"]


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (9, [])])
def test_every_is_the_epochs_from_one_save_to_the_next(every, epochs, tmp_path):
    training, X, y, _ = setting()
    one = fb.ModelCheckpoint(tmp_path / "{epoch}", every=every)
    training.fit(X, y, 7, callbacks=[one])
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == epochs
    assert one.saved == (tmp_path / str(epochs[-1]) if epochs else None)


@pytest.mark.parametrize(
    ("settings", "values", "epochs"),
    [
        ({}, [3, 2, 2, 1, 5], [1, 2, 4]),
        ({"mode": "min"}, [3, 2, 2, 1, 5], [1, 2, 4]),
        ({"mode": "max"}, [3, 2, 2, 4, 5], [1, 4, 5]),
        ({"monitor": "val_accuracy"}, [0.3, 0.5, 0.5, 0.4, 0.6], [1, 2, 5]),
        ({"monitor": "val_accuracy", "mode": "min"}, [0.3, 0.5, 0.5, 0.2, 0.6], [1, 4]),
        ({"every": 2}, [9, 3, 1, 2, 0, 2.5], [2, 4]),
        ({}, [np.nan, 2, np.nan], [2]),
    ],
)
def test_only_the_best_are_saved_where_that_is_asked_for(settings, values, epochs, tmp_path, monkeypatch):
    if "monitor" in settings:
        numbers = iter([0.0, *values])  # the first is taken before anything is trained
        monkeypatch.setattr(measuring, "evaluate", lambda *_, **__: next(numbers))
    else:
        validates_to(values, monkeypatch)
    training, X, y, held_out = setting()
    one = fb.ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, **settings)
    metrics = ["accuracy"] if "monitor" in settings else []
    training.fit(X, y, len(values), held_out, callbacks=[one], metrics=metrics)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == epochs


def test_a_file_without_names_is_of_the_last_save(tmp_path, monkeypatch):
    validates_to([2, 1, 3], monkeypatch)
    training, X, y, held_out = setting()
    seen = []
    note = lambda trainer, history: seen.append(trainer.net.flat)  # noqa: E731
    every, best = tmp_path / "last", tmp_path / "best"
    callbacks = [note, fb.ModelCheckpoint(str(every)), fb.ModelCheckpoint(best, save_best_only=True)]
    training.fit(X, y, 3, held_out, callbacks=callbacks)
    assert fb.load(every).flat.tobytes() == seen[2].tobytes()
    assert fb.load(best).flat.tobytes() == seen[1].tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "last"]  # and nothing half written


@every_dtype
def test_with_an_average_it_is_the_averaged_network_that_is_saved(dtype, tmp_path):
    layers = [fb.Linear(9), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.3), fb.Linear(4)]
    training, X, y, held_out = setting(dtype, layers=layers, ema=0.9)
    path = tmp_path / "net"
    history = training.fit(X, y, 2, held_out, callbacks=[fb.ModelCheckpoint(path)])
    loaded = fb.load(path)
    assert loaded.predict(X).tobytes() == training.averaged.predict(X).tobytes()
    assert loaded.predict(X).tobytes() != training.net.predict(X).tobytes()
    assert loaded.states.flat().tobytes() == training.net.states.flat().tobytes()
    assert loaded.evaluate(*held_out) == history.val_loss[-1]


# Training


@every_dtype
@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_written_changes_no_bit_of_the_training(threads, dtype, tmp_path):
    layers = [fb.Linear(70), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.3), fb.Linear(4)]
    ways = []
    for watched in (False, True):
        training, X, y, held_out = setting(dtype, layers=layers, ema=0.9, accumulate=2, threads=threads)
        callbacks = [
            fb.CSVLogger(tmp_path / "log.csv"),
            fb.JSONLogger(tmp_path / "log.json"),
            fb.ModelCheckpoint(tmp_path / "{epoch}"),
            fb.EarlyStopping(100, restore_best=False),
            fb.ReduceLROnPlateau(patience=100),
            fb.TimeBudget(1e6),
            lambda trainer, history, X=X: trainer.net.predict(X),
        ]
        more = {"validation": held_out, "callbacks": callbacks, "metrics": ["accuracy", "log_loss"]} if watched else {}
        history = training.fit(X, y, 5, **more)
        net = training.net
        ways.append((net.flat.tobytes(), net.states.flat().tobytes(), training.averaged.flat.tobytes(), history.loss))
    assert ways[0] == ways[1]
