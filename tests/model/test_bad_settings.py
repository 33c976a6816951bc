"""Settings that cannot be: each is answered with one sentence that names it, what it must be and what it was."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.spec.layers import Layer
from tests.config.broken_forms import ACTIVATIONS, LOSSES

ES = fb.EarlyStopping


def refused(kind, make, message):
    with pytest.raises(kind) as info:
        make()
    assert type(info.value) is kind
    assert str(info.value) == message


def shown(value):
    return type(value).__name__ if "iterator" in type(value).__name__ else repr(value)


class Unknown(Layer):
    """A layer that no kernel stands for."""


# Numbers: (where, make one of this value, what else it must be). Each must be a whole number or a real one.


def net(**settings):
    return fb.Network([fb.Linear(3)], **{"inputs": 4, **settings})


def trainer(**settings):
    return fb.Trainer(net(), **settings)


X = np.ones((6, 4), np.float32)
Y = np.arange(6) % 3

WHOLE = {
    "Linear.features": (fb.Linear, 1),
    "inputs": (lambda v: net(inputs=v), 1),
    "Input.features": (fb.Input, 1),
    "Repeat.features": (fb.Repeat, 1),
    "seed": (lambda v: net(seed=v), 0),
    "sizes[0]": (lambda v: fb.mlp([v, 3]), 1),
    "sizes[1]": (lambda v: fb.mlp([4, v, 3]), 1),
    "sizes[2]": (lambda v: fb.mlp([4, 8, v]), 1),
    "batch_size": (lambda v: trainer(batch_size=v), 1),
    "steps": (lambda v: trainer().run(X, Y, steps=v), 0),
    "epochs": (lambda v: trainer().fit(X, Y, epochs=v), 0),
    "EarlyStopping.patience": (lambda v: ES(patience=v), 0),
}
NO_WHOLE_NUMBERS = [True, np.True_, 2.5, 4.0, np.float32(2), "3", b"3", None, [3], np.array([3]), 1j]


@pytest.mark.parametrize("value", NO_WHOLE_NUMBERS, ids=repr)
@pytest.mark.parametrize("where", WHOLE)
def test_what_must_be_a_whole_number_is_nothing_else(where, value):
    refused(ConfigTypeError, lambda: WHOLE[where][0](value), f"`{where}` must be a whole number, got `{value!r}`")


@pytest.mark.parametrize("below", [1, 2, 10**30], ids=["just", "by-two", "far"])
@pytest.mark.parametrize("where", WHOLE)
def test_a_whole_number_below_its_limit_is_refused(where, below):
    make, least = WHOLE[where]
    value = least - below
    refused(ConfigError, lambda: make(value), f"`{where}` must be at least {least}, got `{value}`")


@pytest.mark.parametrize("kind", [int, np.int8, np.uint64, np.array], ids=["int", "int8", "uint64", "array"])
@pytest.mark.parametrize("where", WHOLE)
def test_a_whole_number_of_any_type_will_do(where, kind):
    WHOLE[where][0](kind(1))


@pytest.mark.parametrize("seed", [2**64, 2**64 + 1, 10**30])
@pytest.mark.parametrize("make", [lambda v: net(seed=v), lambda v: trainer(seed=v)], ids=["network", "trainer"])
def test_a_seed_of_more_than_64_bits_is_refused(make, seed):
    refused(ConfigError, lambda: make(seed), f"`seed` must be below 2**64, got `{seed}`")


@pytest.mark.parametrize("value", [v for v in NO_WHOLE_NUMBERS if v is not None], ids=repr)
def test_the_seed_of_a_trainer_is_a_whole_number_or_none(value):
    refused(ConfigTypeError, lambda: trainer(seed=value), f"`seed` must be a whole number, got `{value!r}`")
    assert trainer(seed=None).seed == net().seed


NO_LESS = "must be at least 0"
BELOW_ONE = "must be at least 0 and below 1"
ABOVE = "must be above 0"
REAL = {
    "Dropout.p": (fb.Dropout, BELOW_ONE, [-0.5, 1.0, 2.0]),
    "dropout": (lambda v: fb.mlp([4, 8, 3], dropout=v), BELOW_ONE, [-0.5, 1.0, 2.0]),
    "SGD.lr": (lambda v: fb.SGD(lr=v), ABOVE, [0.0, -1e-3]),
    "SGD.momentum": (lambda v: fb.SGD(lr=0.1, momentum=v), BELOW_ONE, [-0.5, 1.0]),
    "Adam.lr": (lambda v: fb.Adam(lr=v), ABOVE, [0.0, -1e-3]),
    "Adam.betas[0]": (lambda v: fb.Adam(betas=(v, 0.9)), BELOW_ONE, [-0.5, 1.0]),
    "Adam.betas[1]": (lambda v: fb.Adam(betas=(0.9, v)), BELOW_ONE, [-0.5, 1.0]),
    "Adam.eps": (lambda v: fb.Adam(eps=v), ABOVE, [0.0, -1e-8]),
    "AdamW.lr": (lambda v: fb.AdamW(lr=v), ABOVE, [0.0, -1e-3]),
    "AdamW.eps": (lambda v: fb.AdamW(eps=v), ABOVE, [0.0]),
    "AdamW.weight_decay": (lambda v: fb.AdamW(weight_decay=v), NO_LESS, [-0.01]),
    "EarlyStopping.min_delta": (lambda v: ES(min_delta=v), NO_LESS, [-0.01]),
}
NO_NUMBERS = [True, np.True_, "0.5", b"0.5", None, "", [0.5], [], np.array([0.1, 0.2]), 1j, fb.Adam]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("where", REAL)
def test_what_must_be_a_number_is_nothing_else(where, value):
    refused(ConfigTypeError, lambda: REAL[where][0](value), f"`{where}` must be a number, got `{value!r}`")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
@pytest.mark.parametrize("where", REAL)
def test_a_number_that_is_not_finite_is_refused(where, value):
    refused(ConfigError, lambda: REAL[where][0](value), f"`{where}` must be finite, got `{value}`")


@pytest.mark.parametrize("where", REAL)
def test_a_number_too_large_for_a_float_is_refused(where):
    refused(ConfigError, lambda: REAL[where][0](10**400), f"`{where}` must be finite, got `inf`")


@pytest.mark.parametrize(("where", "value"), [(where, v) for where in REAL for v in REAL[where][2]])
def test_a_number_outside_its_domain_is_refused(where, value):
    make, must, _ = REAL[where]
    refused(ConfigError, lambda: make(value), f"`{where}` {must}, got `{value}`")


@pytest.mark.parametrize(
    "kind", [float, np.float16, np.float64, np.array], ids=["float", "float16", "float64", "array"]
)
@pytest.mark.parametrize("where", REAL)
def test_a_number_of_any_type_will_do(where, kind):
    REAL[where][0](kind(0.5))


def test_dropout_is_checked_where_there_is_no_hidden_layer_to_drop_from():
    refused(ConfigError, lambda: fb.mlp([4, 3], dropout=5), f"`dropout` {BELOW_ONE}, got `5.0`")


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999), None, {}], ids=repr)
def test_betas_are_two(betas):
    refused(ConfigTypeError, lambda: fb.Adam(betas=betas), f"`Adam.betas` must be two numbers, got `{betas!r}`")


@pytest.mark.parametrize(
    ("where", "make"),
    [("Linear.bias", lambda v: fb.Linear(3, bias=v)), ("EarlyStopping.restore_best", lambda v: ES(restore_best=v))],
    ids=["bias", "restore_best"],
)
@pytest.mark.parametrize("value", [1, 0, None, "no", []], ids=repr)
def test_what_must_be_true_or_false_is_nothing_else(where, make, value):
    refused(ConfigTypeError, lambda: make(value), f"`{where}` must be True or False, got `{value!r}`")


# Names: (make one of this name, the names there are)

NAMED = {
    "activation": (lambda v: fb.mlp([4, 8, 3], activation=v), ACTIVATIONS),
    "dtype": (lambda v: net(dtype=v), "`float32`, `float64`"),
    "loss": (lambda v: trainer(loss=v), LOSSES),
    "mode": (lambda v: net().jacobian(X, mode=v), "`auto`, `forward`, `reverse`"),
    "EarlyStopping.monitor": (
        lambda v: trainer().fit(X, Y, validation=(X, Y), callbacks=[ES(monitor=v)]),
        "`loss`, `val_loss`",
    ),
}


@pytest.mark.parametrize(
    ("where", "value", "meant"),
    [
        ("activation", "rleu", "relu"),
        ("activation", "Tanh", "tanh"),
        ("dtype", "flaot32", "float32"),
        ("dtype", "float16", "float64"),
        ("loss", "MSE", "mse"),
        ("loss", "crossentropy", "cross_entropy"),
        ("mode", "Reverse", "reverse"),
        ("EarlyStopping.monitor", "val_los", "val_loss"),
    ],
)
def test_a_name_that_is_nearly_right_comes_with_a_hint(where, value, meant):
    make, names = NAMED[where]
    message = f"`{where}` must be one of {names}, got `{value}`\nhint: did you mean `{meant}`?"
    refused(ConfigError, lambda: make(value), message)


@pytest.mark.parametrize("value", ["nothing", "", ".f4", 3, None, ["relu"]], ids=repr)
@pytest.mark.parametrize("where", [w for w in NAMED if w != "loss"])
def test_a_name_that_there_is_not_comes_with_those_that_there_are(where, value):
    make, names = NAMED[where]
    if where == "EarlyStopping.monitor" and not isinstance(value, str):
        message = f"`{where}` must be a name such as `val_loss`, got `{value!r}`"
        refused(ConfigTypeError, lambda: make(value), message)
        return
    refused(ConfigError, lambda: make(value), f"`{where}` must be one of {names}, got `{value}`")


@pytest.mark.parametrize("value", [None, 3, ["mse"], fb.Adam], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda v: trainer(loss=v),
        lambda v: net().loss_and_gradients(X, Y, loss=v),
        lambda v: net().evaluate(X, Y, loss=v),
    ],
    ids=["trainer", "loss_and_gradients", "evaluate"],
)
def test_a_loss_is_a_name(make, value):
    message = f"`loss` must be the name of a loss, or one such as `fb.Huber(delta=1.0)`, got `{value!r}`"
    refused(ConfigTypeError, lambda: make(value), message)


# What is made of other things


@pytest.mark.parametrize("layers", [None, "relu", fb.Linear(3), {fb.Linear(3)}, iter([fb.Linear(3)])], ids=shown)
def test_layers_are_a_list(layers):
    message = f"`layers` must be a list of layers, got `{layers!r}`"
    refused(ConfigTypeError, lambda: fb.Network(layers, inputs=4), message)


@pytest.mark.parametrize("wrong", [None, 3, [fb.ReLU()], Layer(), Unknown()], ids=repr)
def test_only_layers_are_layers(wrong):
    message = f"`layers[1]` must be a layer such as `fb.Linear(10)`, got `{wrong!r}`"
    refused(ConfigTypeError, lambda: fb.Network([fb.Linear(3), wrong], inputs=4), message)


@pytest.mark.parametrize("sizes", [None, 4, "4,3", b"ab", iter([4, 3]), {4: 1, 3: 1}, {4, 3}, np.array(4)], ids=shown)
def test_sizes_are_a_list(sizes):
    refused(ConfigTypeError, lambda: fb.mlp(sizes), f"`sizes` must be a list of whole numbers, got `{sizes!r}`")


@pytest.mark.parametrize("sizes", [[], [4], (4,)], ids=repr)
def test_sizes_are_two_at_least(sizes):
    refused(ConfigError, lambda: fb.mlp(sizes), f"`sizes` must have at least inputs and outputs, got `{list(sizes)}`")


def test_a_network_that_no_memory_can_hold_is_out_of_memory():
    with pytest.raises(MemoryError):
        fb.mlp([2, 10**15, 1])


@pytest.mark.parametrize("value", [None, "net", fb.mlp, [1]], ids=["none", "text", "function", "list"])
def test_a_trainer_trains_networks(value):
    message = f"`net` must be a fastbp Network, got `{type(value).__name__}`"
    refused(ConfigTypeError, lambda: fb.Trainer(value), message)


@pytest.mark.parametrize("value", [fb.Adam, 1e-3, {}], ids=repr)
def test_an_optimiser_is_an_optimiser(value):
    message = f"`optimizer` must be an optimiser such as `fb.Adam(lr=1e-3)`, got `{value!r}`"
    refused(ConfigTypeError, lambda: trainer(optimizer=value), message)


def test_there_must_be_something_to_train():
    message = "`net` must have parameters to train, such as those of `Linear` layers"
    refused(ConfigError, lambda: fb.Trainer(fb.Network([fb.ReLU()], inputs=4)), message)


# Threads have a limit above, too


def of_threads(value):
    return {"predict": lambda: net().predict(X, threads=value), "trainer": lambda: trainer(threads=value)}


@pytest.mark.parametrize("who", ["predict", "trainer"])
@pytest.mark.parametrize("value", [v for v in NO_WHOLE_NUMBERS if v is not None], ids=repr)
def test_threads_are_a_whole_number(who, value):
    refused(ConfigTypeError, of_threads(value)[who], f"`threads` must be a whole number, got `{value!r}`")


@pytest.mark.parametrize("who", ["predict", "trainer"])
@pytest.mark.parametrize("value", [0, -1, 257, 10**30])
def test_threads_are_1_to_256(who, value):
    refused(ConfigError, of_threads(value)[who], f"`threads` must be between 1 and 256, got `{value}`")


@pytest.mark.parametrize("who", ["predict", "trainer"])
@pytest.mark.parametrize("value", [None, 1, np.int64(1), np.uint8(1)], ids=repr)
def test_threads_may_be_of_any_whole_type_or_left_to_us(who, value):
    of_threads(value)[who]()


# Callbacks


class Base(fb.Callback):
    pass


@pytest.mark.parametrize("value", [None, 5, Base(), print], ids=["None", "5", "callback", "function"])
def test_callbacks_are_a_list(value):
    message = f"`callbacks` must be a list of callbacks, got `{value!r}`"
    refused(ConfigTypeError, lambda: trainer().fit(X, Y, callbacks=value), message)


@pytest.mark.parametrize("value", [3, "x", None, fb.EarlyStopping], ids=repr)
def test_callbacks_are_callbacks_or_functions(value):
    message = f"`callbacks` must hold callbacks or functions f(trainer, history), got `{value!r}`"
    refused(ConfigTypeError, lambda: trainer().fit(X, Y, callbacks=[print, value]), message)


def test_early_stopping_needs_what_it_watches():
    message = (
        "`EarlyStopping.monitor` is `val_loss`, so `fit` must be given `validation`\n"
        'hint: EarlyStopping(monitor="loss") watches the training loss'
    )
    training, other = trainer(batch_size=4), trainer(batch_size=4)
    for each in (training, other):
        each.run(X, Y, 1)  # stops in the middle of a pass
    refused(ConfigError, lambda: training.fit(X, Y, callbacks=[ES()]), message)
    assert training.run(X, Y, 3).loss == other.run(X, Y, 3).loss
    assert training.net.flat.tobytes() == other.net.flat.tobytes()


def test_a_history_holds_losses_by_name():
    with pytest.raises(KeyError) as info:
        trainer().run(X, Y, 1)["los"]
    assert info.value.args == ("a history has `loss`, `val_loss`, `lr`, got `los`",)
