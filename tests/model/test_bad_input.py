"""Arrays that cannot be used: one sentence each, before anything is computed, and nothing has changed afterwards.

What trains has a way of its own for arrays that need no conversion, taken from the second step on, so everything is
tried on a trainer that has taken a step and on one that has not.
"""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigTypeError, DataError, DataTypeError, FastbpError, ShapeError
from fastbp.lowering.batch_plan import BatchPlan

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)
CLASSES = np.array([0, 2, 1, 1, 0, 2])
NUMBERS = RNG.standard_normal((6, 3)).astype(np.float32)
GOOD = {"cross_entropy": CLASSES, "mse": NUMBERS}


def with_value(array, at, value, dtype=None):
    out = array.astype(dtype or array.dtype)
    out[at] = value
    return out


def says(call, kind, message):
    with pytest.raises(FastbpError) as info:
        call()
    assert type(info.value) is kind
    assert str(info.value) == message


# Everything that takes rows, as (call, whether it trains and so needs rows that are finite).

TAKES_X = {
    "predict": (lambda net, x: net.predict(x), False),
    "predict-out": (lambda net, x: net.predict(x, out=np.zeros((6, 3), np.float32)), False),
    "vjp": (lambda net, x: net.vjp(x, NUMBERS), False),
    "jvp": (lambda net, x: net.jvp(x, X), False),
    "jacobian": (lambda net, x: net.jacobian(x), False),
    "loss_and_gradients": (lambda net, x: net.loss_and_gradients(x, CLASSES), True),
    "evaluate": (lambda net, x: net.evaluate(x, CLASSES), True),
    "step": (lambda net, x: fb.Trainer(net).step(x, CLASSES), True),
    "run": (lambda net, x: fb.Trainer(net).run(x, CLASSES, 3), True),
    "fit": (lambda net, x: fb.Trainer(net).fit(x, CLASSES), True),
    "vjp-u": (lambda net, x: net.vjp(X, x), False),
    "jvp-v": (lambda net, x: net.jvp(X, x), False),
}
NAME = {"vjp-u": ("u", 3), "jvp-v": ("v", 4)}
everything = pytest.mark.parametrize("call", TAKES_X)
whatever_trains = pytest.mark.parametrize("call", [name for name, (_, trains) in TAKES_X.items() if trains])


def refuses(call, value, kind, message):
    """Nothing runs and no parameter changes when `value` comes as the array of `call`."""
    net = fb.mlp([4, 8, 3], seed=1)
    before = net.flat.tobytes()
    says(lambda: TAKES_X[call][0](net, value), kind, message)
    assert net.flat.tobytes() == before


SHAPES = [(), (3,), (5,), (0,), (6, 2), (6, 5), (6, 0), (0, 5), (1, 6, 4), (6, 4, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@everything
def test_rows_of_another_shape_are_refused(call, shape):
    name, width = NAME.get(call, ("X", 4))
    if shape == (width,):
        shape = (width + 5,)
    refuses(call, np.zeros(shape, np.float32), ShapeError, f"`{name}` must have shape `(rows, {width})`, got `{shape}`")


UNREAL = {
    "str": ([["a"] * 4], "<U1"),
    "text": ("hello", "<U5"),
    "bytes": (b"hello", "|S5"),
    "objects": (X.astype(object), "object"),
    "none": (None, "object"),
    "dict": ({"x": 1}, "object"),
    "complex": (X.astype(complex), "complex128"),
    "dates": (np.zeros((6, 4), "M8[s]"), "datetime64[s]"),
    "durations": (np.zeros((6, 4), "m8[s]"), "timedelta64[s]"),
    "records": (np.zeros(6, "f4,f4"), "[('f0', '<f4'), ('f1', '<f4')]"),
}


@pytest.mark.parametrize("what", UNREAL)
@everything
def test_what_are_no_real_numbers_is_refused(call, what):
    value, dtype = UNREAL[what]
    name, _ = NAME.get(call, ("X", 4))
    refuses(call, value, DataTypeError, f"`{name}` must be real numbers, got dtype `{dtype}`")


@everything
def test_rows_of_different_lengths_are_refused(call):
    name, _ = NAME.get(call, ("X", 4))
    message = f"`{name}` must be an array of numbers, got a `list`"
    refuses(call, [[1, 2, 3, 4], [1, 2, 3]], DataError, message)


@everything
def test_masked_values_are_refused_rather_than_seen_through(call):
    name, width = NAME.get(call, ("X", 4))
    value = np.ma.masked_array(np.ones((6, width), np.float32), mask=np.eye(6, width, dtype=bool))
    refuses(call, value, DataError, f"`{name}` must have no masked values, got {min(6, width)}")


@whatever_trains
def test_there_must_be_rows_to_train_on(call):
    refuses(call, X[:0], ShapeError, "`X` must have at least one row, got shape `(0, 4)`")


@pytest.mark.parametrize(("at", "value"), [((0, 0), np.nan), ((5, 3), np.inf), ((2, 1), -np.inf)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@whatever_trains
def test_what_is_trained_on_must_be_finite(call, at, value, dtype):
    message = f"`X` must be finite, got `{value}` at `[{at[0]}, {at[1]}]`"
    refuses(call, with_value(X, at, value, dtype), DataError, message)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 16, 33])
def test_a_nan_is_found_wherever_it_hides(rows):
    net = fb.mlp([4, 8, 3])
    for at in range(4 * rows):
        x = np.zeros((rows, 4), np.float32)
        x.flat[at] = np.nan
        message = f"`X` must be finite, got `nan` at `[{at // 4}, {at % 4}]`"
        says(lambda x=x: net.loss_and_gradients(x, np.zeros(rows, int)), DataError, message)


@whatever_trains
def test_a_number_too_large_for_the_network_is_shown_as_it_came(call):
    value = with_value(X, (1, 2), 1e39, np.float64)
    refuses(call, value, DataError, "`X` must fit into `float32`, got `1e+39` at `[1, 2]`")


@pytest.mark.parametrize("call", ["predict", "vjp", "jvp", "jacobian"])
def test_nan_travels_through_what_does_not_train(call):
    net = fb.mlp([4, 8, 3], activation="tanh", seed=1)
    run = TAKES_X[call][0]
    good, result = run(net, X), run(net, with_value(X, (2, 1), np.nan))
    assert np.isnan(result[2]).all()
    assert np.delete(result, 2, axis=0).tobytes() == np.delete(good, 2, axis=0).tobytes()


@pytest.mark.parametrize(("call", "name"), [("vjp", "u"), ("jvp", "v")])
def test_cotangents_and_tangents_are_one_a_row(call, name):
    rows = np.zeros((5, 3 if name == "u" else 4))
    product = getattr(fb.mlp([4, 8, 3]), call)
    says(lambda: product(X, rows), ShapeError, f"`{name}` must have as many rows as `X`, `6`, got `5`")


# Targets: (loss, y, error, message)

NO_CLASS = "`y` must be between 0 and 2, the network's outputs, got `{}` at `[{}]`"
NOT_WHOLE = "`y` must be class numbers, got `{}` at `[{}]`"
ONE_A_ROW = "`y` must have shape `(6,)`, one class a row, got `{}`"
NO_LIST = "`y` must be an array of numbers, got a `list`"
TARGETS = {
    "short": ("cross_entropy", CLASSES[:5], ShapeError, ONE_A_ROW.format((5,))),
    "long": ("cross_entropy", np.zeros(7, int), ShapeError, ONE_A_ROW.format((7,))),
    "one-hot": ("cross_entropy", np.eye(4)[CLASSES], ShapeError, ONE_A_ROW.format((6, 4))),
    "lying": ("cross_entropy", CLASSES[None], ShapeError, ONE_A_ROW.format((1, 6))),
    "deep": ("cross_entropy", CLASSES[:, None, None], ShapeError, ONE_A_ROW.format((6, 1, 1))),
    "scalar": ("cross_entropy", 1, ShapeError, ONE_A_ROW.format(())),
    "negative": ("cross_entropy", with_value(CLASSES, 5, -1), DataError, NO_CLASS.format(-1, 5)),
    "negative-int8": ("cross_entropy", with_value(CLASSES, 0, -1, "int8"), DataError, NO_CLASS.format(-1, 0)),
    "too-high": ("cross_entropy", with_value(CLASSES, 3, 3), DataError, NO_CLASS.format(3, 3)),
    "2**63": ("cross_entropy", with_value(CLASSES, 4, 2**63, "uint64"), DataError, NO_CLASS.format(2**63, 4)),
    "2**64-1": ("cross_entropy", with_value(CLASSES, 4, 2**64 - 1, "uint64"), DataError, NO_CLASS.format(2**64 - 1, 4)),
    "1e30": ("cross_entropy", with_value(CLASSES, 2, 1e30, float), DataError, NO_CLASS.format(1e30, 2)),
    "2.0**63": ("cross_entropy", with_value(CLASSES, 2, 2.0**63, float), DataError, NO_CLASS.format(2.0**63, 2)),
    "half": ("cross_entropy", with_value(CLASSES, 1, 0.5, float), DataError, NOT_WHOLE.format(0.5, 1)),
    "nan": ("cross_entropy", with_value(CLASSES, 1, np.nan, float), DataError, NOT_WHOLE.format("nan", 1)),
    "inf": ("cross_entropy", with_value(CLASSES, 5, -np.inf, "f2"), DataError, NOT_WHOLE.format("-inf", 5)),
    "names": ("cross_entropy", list("abcabc"), DataTypeError, "`y` must be real numbers, got dtype `<U1`"),
    "none": ("cross_entropy", None, DataTypeError, "`y` must be real numbers, got dtype `object`"),
    "objects": ("cross_entropy", CLASSES.astype(object), DataTypeError, "`y` must be real numbers, got dtype `object`"),
    "complex": ("cross_entropy", CLASSES + 0j, DataTypeError, "`y` must be real numbers, got dtype `complex128`"),
    "ragged": ("cross_entropy", [1, [2], 0, 1, 2, 0], DataError, NO_LIST),
    "masked": (
        "cross_entropy",
        np.ma.masked_array(CLASSES, mask=CLASSES == 1),
        DataError,
        "`y` must have no masked values, got 2",
    ),
    "mse-short": ("mse", NUMBERS[:5], ShapeError, "`y` must have shape `(6, 3)`, got `(5, 3)`"),
    "mse-narrow": ("mse", NUMBERS[:, :1], ShapeError, "`y` must have shape `(6, 3)`, got `(6, 1)`"),
    "mse-vector": ("mse", NUMBERS[:, 0], ShapeError, "`y` must have shape `(6, 3)`, got `(6,)`"),
    "mse-lying": ("mse", NUMBERS.T, ShapeError, "`y` must have shape `(6, 3)`, got `(3, 6)`"),
    "mse-nan": ("mse", with_value(NUMBERS, (5, 2), np.nan), DataError, "`y` must be finite, got `nan` at `[5, 2]`"),
    "mse-inf": ("mse", with_value(NUMBERS, (0, 1), -np.inf), DataError, "`y` must be finite, got `-inf` at `[0, 1]`"),
    "mse-1e39": (
        "mse",
        with_value(NUMBERS, (2, 1), -1e39, float),
        DataError,
        "`y` must fit into `float32`, got `-1e+39` at `[2, 1]`",
    ),
    "mse-names": ("mse", [["a"] * 3] * 6, DataTypeError, "`y` must be real numbers, got dtype `<U1`"),
    "mse-complex": ("mse", NUMBERS + 0j, DataTypeError, "`y` must be real numbers, got dtype `complex64`"),
    "mse-ragged": ("mse", [[1, 2, 3]] * 5 + [[1]], DataError, NO_LIST),
    "mse-masked": (
        "mse",
        np.ma.masked_array(NUMBERS, mask=np.eye(6, 3)),
        DataError,
        "`y` must have no masked values, got 3",
    ),
}
CALLS = {
    "loss_and_gradients": lambda trainer, x, y: trainer.net.loss_and_gradients(x, y, loss=trainer.loss),
    "evaluate": lambda trainer, x, y: trainer.net.evaluate(x, y, loss=trainer.loss),
    "step": lambda trainer, x, y: trainer.step(x, y),
    "run": lambda trainer, x, y: trainer.run(x, y, 3),
    "fit": lambda trainer, x, y: trainer.fit(x, y),
}


def trained(loss, steps):
    trainer = fb.Trainer(fb.mlp([4, 8, 3], dropout=0.25, seed=1), loss=loss, batch_size=4)
    for _ in range(steps):
        trainer.step(X, GOOD[loss])
        trainer.run(X, GOOD[loss], 3)  # ends in the middle of a pass
    return trainer


def state(trainer):
    """All that training can change, seen from outside: the parameters, and where three more steps lead."""
    now = trainer.steps_done, trainer.net.flat.tobytes()
    trainer.step(X, GOOD[trainer.loss])
    trainer.run(X, GOOD[trainer.loss], 2)
    return *now, trainer.net.flat.tobytes()


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["fresh", "warm", "warmer"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", TARGETS)
def test_targets_that_do_not_fit_are_refused_and_change_nothing(what, call, steps, monkeypatch):
    loss, y, kind, message = TARGETS[what]
    trainer = trained(loss, steps)
    with monkeypatch.context() as patch:
        patch.setattr(BatchPlan, "steps", lambda *_: pytest.fail("a kernel ran"))
        says(lambda: CALLS[call](trainer, X, y), kind, message)
    assert state(trainer) == state(trained(loss, steps))


@pytest.mark.parametrize("loss", GOOD)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("call", CALLS)
def test_rows_that_are_not_finite_change_nothing(call, bad, loss):
    trainer = trained(loss, 2)
    x = with_value(X, (4, 2), bad)
    says(lambda: CALLS[call](trainer, x, GOOD[loss]), DataError, f"`X` must be finite, got `{bad}` at `[4, 2]`")
    assert state(trainer) == state(trained(loss, 2))


# Validation

WRONG_VALIDATION = {
    "width": ((X[:, :2], CLASSES), ShapeError, "validation: `X` must have shape `(rows, 4)`, got `(6, 2)`"),
    "rows": ((X, CLASSES[:3]), ShapeError, "validation: `y` must have shape `(6,)`, one class a row, got `(3,)`"),
    "empty": ((X[:0], CLASSES[:0]), ShapeError, "validation: `X` must have at least one row, got shape `(0, 4)`"),
    "class": ((X, CLASSES + 5), DataError, "validation: " + NO_CLASS.format(5, 0)),
    "nan": (
        (with_value(X, (1, 1), np.nan), CLASSES),
        DataError,
        "validation: `X` must be finite, got `nan` at `[1, 1]`",
    ),
    "text": ((X, list("abcabc")), DataTypeError, "validation: `y` must be real numbers, got dtype `<U1`"),
    "rows-only": (
        X,
        ConfigTypeError,
        "`validation` must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2, got `ndarray`",
    ),
    "four": (
        (X, CLASSES, np.ones(6), 3),
        ConfigTypeError,
        "`validation` must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2, got `tuple` of 4",
    ),
    "string": (
        "xy",
        ConfigTypeError,
        "`validation` must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2, got `str`",
    ),
    "dict": (
        {"X": X, "y": CLASSES},
        ConfigTypeError,
        "`validation` must be (X, y), (X, y, sample_weight) or a part of the rows such as 0.2, got `dict`",
    ),
}


@pytest.mark.parametrize("what", WRONG_VALIDATION)
def test_validation_that_does_not_fit_is_refused_before_training(what):
    validation, kind, message = WRONG_VALIDATION[what]
    trainer = trained("cross_entropy", 1)
    says(lambda: trainer.fit(X, CLASSES, validation=validation), kind, message)
    assert state(trainer) == state(trained("cross_entropy", 1))


# Where results go


def read_only(array):
    array.flags.writeable = False
    return array


def unaligned(shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    first = -raw.ctypes.data % 64 + 1
    return raw[first : first + size].view(dtype).reshape(shape)


NOT_OURS = "`out` must be an array of shape `{0}` of `float32`, got {1}"
NOT_AS_IT_MUST_BE = "`out` must be writeable, aligned and in C order, but is "
OUT = {
    "columns": (lambda n: np.zeros((n, 2), "f4"), ShapeError, NOT_OURS, "`{0}` of `float32`"),
    "rows": (lambda n: np.zeros((n + 1, 3), "f4"), ShapeError, NOT_OURS, "`{0}` of `float32`"),
    "vector": (lambda n: np.zeros(3 * n, "f4"), ShapeError, NOT_OURS, "`{0}` of `float32`"),
    "float64": (lambda n: np.zeros((n, 3)), ShapeError, NOT_OURS, "`{0}` of `float64`"),
    "int32": (lambda n: np.zeros((n, 3), "i4"), ShapeError, NOT_OURS, "`{0}` of `int32`"),
    "foreign-order": (lambda n: np.zeros((n, 3), ">f4"), ShapeError, NOT_OURS, "`{0}` of `>f4`"),
    "list": (lambda n: [[0.0] * 3] * n, ShapeError, NOT_OURS, "`list`"),
    "true": (lambda n: True, ShapeError, NOT_OURS, "`bool`"),
    "fortran": (lambda n: np.zeros((n, 3), "f4", order="F"), DataError, NOT_AS_IT_MUST_BE + "not in C order", ""),
    "strided": (lambda n: np.zeros((n, 6), "f4")[:, ::2], DataError, NOT_AS_IT_MUST_BE + "not in C order", ""),
    "backwards": (lambda n: np.zeros((n, 3), "f4")[::-1], DataError, NOT_AS_IT_MUST_BE + "not in C order", ""),
    "read-only": (lambda n: read_only(np.zeros((n, 3), "f4")), DataError, NOT_AS_IT_MUST_BE + "read-only", ""),
    "unaligned": (lambda n: unaligned((n, 3), "f4"), DataError, NOT_AS_IT_MUST_BE + "not aligned", ""),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [6, 3000], ids=["few", "many"])
@pytest.mark.parametrize("what", OUT)
def test_results_go_nowhere_else(what, rows, threads, monkeypatch):
    monkeypatch.setattr("fastbp.engine.threads.default_threads", lambda: 2)
    make, kind, message, got = OUT[what]
    out = make(rows)
    net = fb.mlp([4, 64, 3])
    message = message.format((rows, 3), got.format(getattr(out, "shape", None)))
    says(lambda: net.predict(np.ones((rows, 4), np.float32), out=out, threads=threads), kind, message)
    assert not isinstance(out, np.ndarray) or not out.any()


def test_the_result_of_one_row_is_a_vector():
    message = "`out` must be an array of shape `(3,)` of `float32`, got `(1, 3)` of `float32`"
    says(lambda: fb.mlp([4, 3]).predict(X[0], out=np.zeros((1, 3), np.float32)), ShapeError, message)


# Parameters


def assign(net, name, value):
    if name == "flat":
        net.flat = value
    else:
        net.parameters[name] = value


WRONG_PARAMETERS = {
    "shape": (np.zeros(4), ShapeError, "must have shape `{}`, got `(4,)`"),
    "scalar": (0.0, ShapeError, "must have shape `{}`, got `()`"),
    "none": (None, ShapeError, "must have shape `{}`, got `()`"),
    "ragged": ([[1], [1, 2]], DataError, "must be an array of numbers, got a `list`"),
    "text": ("U1", DataTypeError, "must be real numbers, got dtype `<U1`"),
    "complex": (complex, DataTypeError, "must be real numbers, got dtype `complex128`"),
    "objects": (object, DataTypeError, "must be real numbers, got dtype `object`"),
    "nan": (np.nan, DataError, "must be finite, got NaN or infinity"),
    "inf": (-np.inf, DataError, "must be finite, got NaN or infinity"),
}


@pytest.mark.parametrize("what", WRONG_PARAMETERS)
@pytest.mark.parametrize("name", ["0.weight", "2.bias", "flat"])
def test_parameters_that_do_not_fit_are_refused_whole(name, what):
    net = fb.mlp([4, 8, 3])
    before = net.flat
    shape = before.shape if name == "flat" else net.parameters[name].shape
    value, kind, message = WRONG_PARAMETERS[what]
    if isinstance(value, type | str):
        value = np.zeros(shape, value)
    elif isinstance(value, float) and value:  # the last of many that are good
        value = with_value(np.ones(shape), tuple(n - 1 for n in shape), value)
    where = "`flat`" if name == "flat" else f"`parameters['{name}']`"
    says(lambda: assign(net, name, value), kind, f"{where} {message.format(shape)}")
    assert net.flat.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", ["0.weights", "1.weight", "", 0])
def test_a_parameter_that_there_is_not_is_answered_with_those_that_there_are(name):
    net = fb.mlp([4, 8, 3])
    for call in (lambda: net.parameters[name], lambda: net.parameters.update({name: 0.0})):
        with pytest.raises(KeyError) as info:
            call()
        names = "`0.weight`, `0.bias`, `2.weight`, `2.bias`"
        assert info.value.args == (f"`parameters` has no `{name}`, only {names}",)
    assert name not in net.parameters


@pytest.mark.parametrize("call", ["pop", "__delitem__"])
def test_parameters_stay(call):
    net = fb.mlp([4, 8, 3])
    says(lambda: getattr(net.parameters, call)("0.bias"), fb.ConfigError, "`parameters['0.bias']` cannot be deleted")
    assert len(net.parameters) == 4


def test_a_folder_is_no_network(tmp_path):
    with pytest.raises(fb.CheckpointError) as info:
        fb.load(tmp_path)
    assert str(info.value) == f"`{tmp_path}` must be a network's file or the folder of a run with `best.safetensors`"
