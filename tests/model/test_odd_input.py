"""Arrays that are odd but good: what NumPy can read gives the same bits as a float32 array in C order does.

What trains has a way of its own for arrays that need no conversion, taken from the second step on, so each form is
tried on a trainer that has taken a step and on one that has not.
"""

import array
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)
# Multiples of 1/8, so that every form below holds exactly these numbers.
X = (RNG.integers(-16, 17, (12, 4)) / 8).astype(np.float32)
CLASSES = RNG.integers(0, 2, 12)
NUMBERS = (RNG.integers(-16, 17, (12, 2)) / 8).astype(np.float32)
COTANGENTS = (RNG.integers(-16, 17, (12, 2)) / 8).astype(np.float32)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def strided(a):
    wide = np.full([2 * n for n in a.shape], 99, a.dtype)
    wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
    return wide[tuple(slice(None, None, 2) for _ in a.shape)]


def backwards(a):
    turn = tuple(slice(None, None, -1) for _ in a.shape)
    return a[turn].copy()[turn]


def unaligned(a):
    buffer = bytearray(a.nbytes + 64)
    first = -np.frombuffer(buffer, np.uint8).ctypes.data % 64 + 1
    out = np.frombuffer(buffer, a.dtype, a.size, offset=first).reshape(a.shape)
    out[...] = a
    assert not out.flags.aligned
    return out


def mapped(a, folder):
    a.tofile(folder / "array")
    return np.memmap(folder / "array", a.dtype, "r", shape=a.shape)


def matrix(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(a.reshape(len(a), -1))


class Named(np.ndarray):
    """A subclass, such as libraries that attach units make."""


class Table:
    """What a data frame is to NumPy."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(np.float64)


def lists(a):
    return a.tolist()


FORMS = {
    "list": lists,
    "tuples": lambda a: tuple(tuple(row) if a.ndim == 2 else row for row in a.tolist()),
    "list-of-arrays": list,
    "table": Table,
    "float64": lambda a: a.astype("f8"),
    "float16": lambda a: a.astype("f2"),
    "longdouble": lambda a: a.astype("g"),
    "fortran": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "every-other-row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "big-endian-float64": lambda a: a.astype(">f8"),
    "unaligned": unaligned,
    "matrix": matrix,
    "subclass": lambda a: a.view(Named),
    "nothing-masked": lambda a: np.ma.masked_array(a, mask=np.zeros(a.shape, bool)),
    "no-mask": np.ma.masked_array,
    "mapped": mapped,
}
every_form = pytest.mark.parametrize("form", FORMS)


def in_form(form, a, folder):
    return mapped(a, folder) if form == "mapped" else FORMS[form](a)


def net(dtype="float32"):
    return fb.mlp([4, 8, 2], activation="tanh", seed=1, dtype=dtype)


CALLS = {
    "predict": lambda n, x: n.predict(x),
    "predict-out": lambda n, x: n.predict(x, out=np.full((12, 2), np.nan, n.dtype)),
    "vjp": lambda n, x: n.vjp(x, COTANGENTS),
    "jvp": lambda n, x: n.jvp(x, X[::-1]),
    "jvp-v": lambda n, x: n.jvp(X, x),
    "jacobian": lambda n, x: n.jacobian(x),
    "gradients": lambda n, x: n.loss_and_gradients(x, CLASSES)[1]["0.weight"],
    "evaluate": lambda n, x: np.array(n.evaluate(x, CLASSES)),
}


@every_form
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS)
def test_rows_of_any_form_give_the_bits_of_a_plain_array(call, dtype, form, tmp_path):
    run = CALLS[call]
    odd = in_form(form, X, tmp_path)
    before = np.array(odd)
    plain, other = net(dtype), net(dtype)
    expected, result = run(plain, X.astype(dtype)), run(other, odd)
    assert type(result) is np.ndarray
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert result.tobytes() == expected.tobytes()
    assert np.array_equal(np.array(odd), before)


@every_form
def test_compiled_code_is_asked_once_to_predict(form, tmp_path):
    one, asked = net(), []
    one.predict(X)
    entry = one._predict_plan._predict

    def watched(*arguments):
        asked.append(arguments)
        return entry(*arguments)

    one._predict_plan._predict = watched
    for _ in range(3):
        asked.clear()
        one.predict(in_form(form, X, tmp_path), threads=1)
    assert len(asked) == 1  # to refuse an array takes it many times as long
    one.predict(X, threads=1)
    one.predict(X, threads=1)
    assert len(asked) == 3


def test_arrays_that_were_pickled_are_read_as_they_are():
    rows, out = (pickle.loads(pickle.dumps(a)) for a in (X, np.zeros((len(X), 2), np.float32)))
    assert rows.dtype is not X.dtype  # and yet equal
    one, asked = net(), []
    expected = one.predict(X)
    entry = one._predict_plan._predict
    one._predict_plan._predict = lambda *arguments: (asked.append(arguments), entry(*arguments))
    assert one.predict(rows, out=out) is out
    assert out.tobytes() == expected.tobytes()
    assert (asked[0][1] is rows, asked[0][2] is out, one._converts) == (True, True, False)


FOREIGN = """
import numpy as np, fastbp as fb

def unaligned(a):
    out = np.zeros(a.nbytes + 1, "u1")[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    assert not out.flags.aligned
    return out

def losses(X, y, loss):
    trainer = fb.Trainer(fb.mlp([4, 3], seed=0), loss=loss, batch_size=32)
    return [trainer.step(X, y) for _ in range(3)]

X = np.random.default_rng(0).normal(size=(8, 4)).astype("f4")
net, out = fb.mlp([4, 3], seed=0), np.zeros((8, 3), ">f4")
wanted = net.predict(X)
assert np.array_equal(net.predict(unaligned(X)), wanted)
assert np.array_equal(net.predict(X.astype(">f4")), wanted)
try:
    net.predict(X, out=out)
except fb.ShapeError:
    assert not out.any()
else:
    raise AssertionError(out)
for y, loss in ((wanted, "mse"), (np.arange(8) % 3, "cross_entropy")):
    plain = losses(X, y, loss)
    for change in (unaligned, lambda a: a.astype(a.dtype.newbyteorder(">"))):
        assert losses(change(X), y, loss) == losses(X, change(y), loss) == plain
"""


def test_foreign_byte_order_is_not_mistaken_for_what_is_not_aligned():
    """In a new process, as Numba keeps what it takes the first of the two for."""
    subprocess.run([sys.executable, "-c", FOREIGN], check=True)


def results(loss, x, y, dtype="float32"):
    """Losses and parameters of steps, a run and a fit."""
    trainer = fb.Trainer(net(dtype), loss=loss, batch_size=5)
    losses = [trainer.step(x, y) for _ in range(3)]
    losses += trainer.run(x, y, 4).loss
    losses += trainer.fit(x, y, epochs=2, validation=(x, y)).val_loss
    return losses, trainer.net.flat.tobytes()


@every_form
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_on_rows_of_any_form_gives_the_same_bits(dtype, form, tmp_path):
    odd = in_form(form, X, tmp_path)
    assert results("cross_entropy", odd, CLASSES, dtype) == results("cross_entropy", X.astype(dtype), CLASSES, dtype)


@every_form
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_towards_numbers_of_any_form_gives_the_same_bits(dtype, form, tmp_path):
    odd = in_form(form, NUMBERS, tmp_path)
    assert results("mse", X, odd, dtype) == results("mse", X, NUMBERS.astype(dtype), dtype)


@every_form
def test_parameters_come_in_any_form(form, tmp_path):
    a, b = net(), net()
    value = (RNG.integers(-16, 17, (4, 8)) / 8).astype(np.float32)
    a.parameters["0.weight"], b.parameters["0.weight"] = value, in_form(form, value, tmp_path)
    assert a.flat.tobytes() == b.flat.tobytes()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "i8", ">i4", "u8", "?"])
@pytest.mark.parametrize("call", CALLS)
def test_whole_numbers_are_numbers(call, dtype):
    whole = np.abs(8 * X).astype(dtype)
    model = net()
    assert CALLS[call](model, whole).tobytes() == CALLS[call](model, whole.astype("f4")).tobytes()
    assert results("cross_entropy", whole, CLASSES) == results("cross_entropy", whole.astype("f4"), CLASSES)


# Classes

CLASS_FORMS = {
    **{dtype: lambda y, d=dtype: y.astype(d) for dtype in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8", "?")},
    **{dtype: lambda y, d=dtype: y.astype(d) for dtype in ("f2", "f4", "f8", "g", ">f4")},
    "list": lists,
    "tuple": lambda y: tuple(y.tolist()),
    "column": lambda y: y[:, None],
    "column-of-floats": lambda y: y[:, None].astype("f4"),
    "array-module": lambda y: array.array("b", y.tolist()),
    "matrix": matrix,
    "read-only": read_only,
    "strided": strided,
    "backwards": backwards,
    "unaligned": unaligned,
    "nothing-masked": np.ma.masked_array,
    "mapped": mapped,
    "minus-zero": lambda y: np.where(y == 0, -0.0, y),
}


@pytest.mark.parametrize("form", CLASS_FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classes_of_any_form_give_the_same_bits(dtype, form, tmp_path):
    odd = mapped(CLASSES, tmp_path) if form == "mapped" else CLASS_FORMS[form](CLASSES)
    assert results("cross_entropy", X, odd, dtype) == results("cross_entropy", X, CLASSES, dtype)
    plain = net(dtype).loss_and_gradients(X, CLASSES)
    assert net(dtype).loss_and_gradients(X, odd)[0] == plain[0]


def test_numbers_for_one_output_may_come_as_a_vector():
    def losses(y):
        trainer = fb.Trainer(fb.mlp([4, 8, 1]), loss="mse")
        return [trainer.step(X, y) for _ in range(3)]

    for y in (NUMBERS[:, 0], NUMBERS[:, 0].copy(), NUMBERS[:, 0].tolist(), matrix(NUMBERS[:, :1])):
        assert losses(y) == losses(NUMBERS[:, :1].copy())


# One row


@pytest.mark.parametrize("form", [lists, tuple, np.asarray, read_only, backwards, strided, unaligned])
def test_one_row_as_a_vector_is_answered_with_a_vector(form):
    row = form(X[3])
    assert np.array_equal(net().predict(row), net().predict(X)[3])
    assert np.array_equal(net().vjp(row, form(COTANGENTS[3])), net().vjp(X, COTANGENTS)[3])
    assert np.array_equal(net().jvp(row, form(X[4])), net().jvp(X[3:4], X[4:5])[0])
    assert np.array_equal(net().jacobian(row), net().jacobian(X)[3])
    out = np.full(2, np.nan, np.float32)
    assert net().predict(row, out=out) is out
    assert np.array_equal(out, net().predict(X)[3])


def test_one_row_can_be_trained_on():
    trainer, other = fb.Trainer(net()), fb.Trainer(net())
    for _ in range(3):
        assert trainer.step(X[0], CLASSES[:1]) == other.step(X[:1], [CLASSES[0]])
    assert trainer.net.flat.tobytes() == other.net.flat.tobytes()


# Arrays that others may look at or write to meanwhile


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shift", [-300, -1, 0, 1, 300])
def test_results_may_be_written_over_the_rows_they_come_from(shift, threads, monkeypatch):
    monkeypatch.setattr("fastbp.engine.threads.default_threads", lambda: 2)
    square = fb.mlp([64, 64, 64])
    rows, at = 1000, 300
    memory = RNG.standard_normal((rows + 600, 64)).astype(np.float32)
    x = memory[at : at + rows]
    expected = square.predict(x.copy())
    out = memory[at + shift : at + shift + rows]
    assert square.predict(x, out=out, threads=threads) is out
    assert np.array_equal(out, expected)


def test_rows_that_change_after_a_step_change_nothing_that_was():
    x, y = X.copy(), CLASSES.copy()
    trainer, other = fb.Trainer(net()), fb.Trainer(net())
    for call in (lambda t, *data: t.step(*data), lambda t, *data: t.run(*data, steps=2)):
        call(trainer, x, y)
        call(other, X, CLASSES)
        x[...], y[...] = 99, 1
        assert trainer.net.flat.tobytes() == other.net.flat.tobytes()
        x[...], y[...] = X, CLASSES


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [8, 16])
def test_gradients_stay_what_they_were(width, dtype):
    wide = fb.mlp([4, width, 2], dtype=dtype)
    gradients = wide.loss_and_gradients(X, CLASSES)[1]
    before = {name: array.tobytes() for name, array in gradients.items()}
    wide.loss_and_gradients(-X, CLASSES)
    assert {name: array.tobytes() for name, array in gradients.items()} == before


def test_arrays_that_are_gone_are_not_read_again():
    trainer, other = fb.Trainer(net(), batch_size=5), fb.Trainer(net(), batch_size=5)
    for _ in range(5):
        trainer.run(X.copy(), CLASSES.copy(), 2)
        np.full((12, 4), np.nan, np.float32)  # takes the place of what was freed
        other.run(X, CLASSES, 2)
    assert trainer.net.flat.tobytes() == other.net.flat.tobytes()
