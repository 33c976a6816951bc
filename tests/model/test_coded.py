"""Rows with codes: networks, gradients and training are to the bit those of the rows in full."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.spec.coded import Coded
from fastbp.spec.signals import Input

COUNTS = (0, 9, 0, 70, 0)
ROWS = 150


def rows(dtype, count=ROWS):
    rng = np.random.default_rng(count)
    codes = [rng.integers(0, n + 1, count) if n else rng.normal(size=count) for n in COUNTS]
    found = Coded(np.ascontiguousarray(np.stack(codes, 1).astype(dtype)), COUNTS)
    return found, np.asarray(found), rng.normal(size=(count, 1)).astype(dtype)


def shared():
    """A graph in which two layers read the rows."""
    x = Input(82)
    return {"inputs": x, "outputs": fb.Linear(1)(fb.Linear(7)(x) + fb.Linear(7)(x))}


NETWORKS = {
    "linear": lambda **w: fb.Network([fb.Linear(37), fb.ReLU(), fb.Linear(1)], inputs=82, **w),
    "wide": lambda **w: fb.Network([fb.Linear(150, bias=False), fb.SiLU(), fb.Linear(1)], inputs=82, **w),
    "one": lambda **w: fb.Network([fb.Linear(1)], inputs=82, **w),
    "ntk": lambda **w: fb.Network([fb.Linear(9, ntk=True), fb.ReLU(), fb.Linear(1)], inputs=82, **w),
    "dropped": lambda **w: fb.Network([fb.Dropout(0.3), fb.Linear(9), fb.BatchNorm(), fb.Linear(1)], inputs=82, **w),
    "normed": lambda **w: fb.Network([fb.BatchNorm(), fb.Linear(1)], inputs=82, **w),
    "two readers": lambda **w: fb.Network(**shared(), **w),
}


def test_rows_in_full_have_a_one_for_each_code():
    found = Coded(np.array([[0.5, 2.0, 0.0], [-1.0, 0.0, 1.0]], np.float32), (0, 3, 1))
    assert np.asarray(found).tolist() == [[0.5, 0, 1, 0, 0], [-1, 0, 0, 0, 1]]
    assert (found.shape, len(found), found.nbytes, found.dtype) == ((2, 5), 2, 24, np.float32)
    assert np.asarray(found[1:]).tolist() == np.asarray(found)[1:].tolist()
    assert found.column(0).tolist() == [0.5, -1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_loss_and_gradients_are_those_of_the_rows_in_full(name, dtype):
    coded, X, y = rows(dtype)
    net = NETWORKS[name](seed=3, dtype=dtype)
    for part in (slice(None), slice(0, 1), slice(5, 69)):
        assert net.predict(coded[part]).tobytes() == net.predict(X[part]).tobytes()
    assert net.evaluate(coded, y, "mse") == net.evaluate(X, y, "mse")
    (found, slopes), (loss, wanted) = (net.loss_and_gradients(x, y, "mse", training=True) for x in (coded, X))
    assert found == loss
    assert {k: v.tobytes() for k, v in slopes.items()} == {k: (v + 0.0).tobytes() for k, v in wanted.items()}


HOW = {
    "adamw": {"optimizer": fb.AdamW(lr=0.01, weight_decay=0.1)},
    "clipped": {"optimizer": "sgd", "clip_norm": 0.1, "accumulate": 2},
    "frozen": {"optimizer": "adam", "frozen": ["0.weight"], "ema": 0.9},
    "penalised": {"optimizer": "adam", "penalty": "1e-3 * w**2", "clip_value": 0.01},
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["linear", "wide", "dropped"])
def test_three_steps_are_those_of_the_rows_in_full_on_any_number_of_threads(name, how):
    coded, X, y = rows("float32")
    settings = HOW[how]
    if name == "dropped" and how == "frozen":
        settings = {**settings, "frozen": ["1.weight"]}
    found = set()
    for x in (X, coded):
        for threads in (1, 2, 3):
            net = NETWORKS[name](seed=3)
            trainer = fb.Trainer(net, loss="mse", batch_size=64, threads=threads, **settings)
            losses = trainer.fit(x, y, epochs=1, validation=(x, y)).val_loss  # of three batches
            found.add((net.flat.tobytes(), tuple(losses)))
    assert len(found) == 1


@pytest.mark.parametrize("name", ["linear", "ntk"])
def test_a_network_takes_rows_of_both_kinds_in_turn(name):
    coded, X, y = rows("float32")
    flats = []
    for turns in ((X, X, X, X), (coded, X, coded, X)):
        net = NETWORKS[name](seed=3)
        trainer = fb.Trainer(net, loss="mse", threads=1)
        outputs = []
        for x in turns:
            trainer.step(x[:9], y[:9])
            outputs.append(net.predict(x).tobytes())
        flats.append((net.flat.tobytes(), outputs))
    assert flats[0] == flats[1]


def test_rows_of_another_width_are_refused():
    coded, _, y = rows("float32")
    net = fb.Network([fb.Linear(1)], inputs=81)
    for call in (lambda: net.predict(coded), lambda: net.evaluate(coded, y, "mse")):
        with pytest.raises(fb.ShapeError) as caught:
            call()
        assert str(caught.value) == "`X` must have shape `(rows, 81)`, got `(150, 82)`"


@pytest.mark.parametrize("name", ["linear", "dropped"])
def test_every_op_beside_its_twin(name, monkeypatch):
    monkeypatch.setenv("FASTBP_PLAN", "check")
    coded, _, y = rows("float32", 40)
    net = NETWORKS[name](seed=3)
    trainer = fb.Trainer(net, loss="mse", batch_size=16, threads=2)
    trainer.fit(coded, y, epochs=1, validation=(coded, y))
    net.predict(coded)
    shown = str(trainer._batch_plan)
    assert ("coded_product" in shown) == (name == "linear")
