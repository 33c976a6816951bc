"""Strange objects and numbers: one sentence of a sensible length, whatever the object does when it is shown."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import brief

X, Y = np.zeros((8, 3), "f4"), np.arange(8) % 2


class Silent:
    """Cannot be shown."""

    def __repr__(self):
        raise RuntimeError("no words")

    __str__ = __repr__


class Liar(np.ndarray):
    """Lies about its shape."""

    shape = (1, 2, 3, 4)

    def __repr__(self):
        return f"Liar of {self.shape[7]}"


class Raises:
    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


def refused(call, kind=fb.FastbpError):
    with pytest.raises(kind) as info:
        call()
    return str(info.value)


def net():
    return fb.mlp([3, 4, 2])


@pytest.mark.parametrize("history", [X, [], "again", 3, Silent(), fb.History])
def test_a_history_that_is_none_is_refused(history):
    trainer = fb.Trainer(net())
    message = refused(lambda: trainer.fit(X, Y, history=history), fb.ConfigError)
    assert message.startswith("`history` must be a History that `fit` returned, got `")
    assert trainer.steps_done == 0


def test_a_network_without_states_says_that_it_has_none():
    states = net().states
    for call in (lambda: states["0.mean"], lambda: states.__setitem__("0.mean", 0.0)):
        assert refused(call, KeyError) == repr("`states` has no `0.mean`, and no other")
    known = "`parameters` has no `x`, only `0.weight`, `0.bias`, `2.weight`, `2.bias`"
    assert refused(lambda: net().parameters["x"], KeyError) == repr(known)


@pytest.mark.parametrize("error", [RuntimeError("grad"), TypeError("bf16"), ValueError("ragged")])
@pytest.mark.parametrize("use", [lambda x, c: x * c, lambda x, c: np.where(x > 0, c, x), lambda x, c: (x > 0) & c])
def test_a_constant_of_a_traced_function_that_is_no_array_is_refused(error, use):
    function = fb.trace(lambda x: use(x, Raises(error)))
    assert refused(lambda: function(1.0)) == "a constant must be numbers, got a `Raises` that is no array"


STRANGE = {"silent": Silent(), "liar": np.zeros((2, 2)).view(Liar), "long": [10**400] * 30, "wide": "x" * 9000}
CALLS = {
    "optimizer": lambda value: fb.Trainer(net(), optimizer=value),
    "schedule": lambda value: fb.Trainer(net(), schedule=value),
    "batch-size": lambda value: fb.Trainer(net(), batch_size=value),
    "clip-norm": lambda value: fb.Trainer(net(), clip_norm=value),
    "lr": lambda value: fb.Adam(lr=value),
    "betas": lambda value: fb.Adam(betas=value),
    "decoupled": lambda value: fb.Adam(decoupled=value),
    "factors": lambda value: fb.Trainer(net(), lr_factors=value),
    "callbacks": lambda value: fb.Trainer(net()).fit(X, Y, callbacks=value),
    "callback": lambda value: fb.Trainer(net()).fit(X, Y, callbacks=[value]),
    "metrics": lambda value: fb.Trainer(net()).fit(X, Y, validation=(X, Y), metrics=value),
    "history": lambda value: fb.Trainer(net()).fit(X, Y, history=value),
    "layers": lambda value: fb.Network(value, inputs=3),
    "layer": lambda value: fb.Network([value], inputs=3),
    "inputs": lambda value: fb.Network([fb.Linear(2)], inputs=value),
    "dtype": lambda value: fb.Network([fb.Linear(2)], inputs=3, dtype=value),
    "seed": lambda value: fb.Network([fb.Linear(2)], inputs=3, seed=value),
    "features": lambda value: fb.Linear(value),
    "loss": lambda value: fb.Trainer(net(), loss=value),
    "mode": lambda value: net().jacobian(X, mode=value),
    "sizes": lambda value: fb.mlp(value),
    "activation": lambda value: fb.mlp([3, 4, 2], activation=value),
    "trace": lambda value: fb.trace(value),
    "trace-dtype": lambda value: fb.trace(abs, dtype=value),
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("name", CALLS)
def test_a_message_has_few_words_whatever_it_is_about(name, strange):
    assert len(refused(lambda: CALLS[name](STRANGE[strange]), (fb.FastbpError, MemoryError))) < 1000


def test_what_cannot_be_shown_is_called_by_its_type():
    assert brief(Silent()) == "<Silent>"
    assert brief(np.zeros(2).view(Liar)) == "<Liar>"
    assert brief("x" * 500) == "'" + "x" * 98 + "…" + "x" * 98 + "'"
    assert brief("x" * 198) == "'" + "x" * 198 + "'"


@pytest.mark.parametrize("steps", [2**63 - 1, 2**63, 2**80, -1])
def test_steps_that_compiled_code_cannot_count_are_refused_and_nothing_is_trained(steps):
    trainer = fb.Trainer(net(), threads=1)
    trainer.step(X, Y)
    trainer.step(X, Y)
    before = trainer.net.flat
    trainer.steps_done = steps
    message = f"`steps_done` must stay at least 0 and below 2**63, got `{steps}`"
    for call in (lambda: trainer.step(X, Y), lambda: trainer.run(X, Y, 1), lambda: trainer.fit(X, Y)):
        assert refused(call, fb.ConfigError) == message
    assert trainer.steps_done == steps
    assert np.array_equal(trainer.net.flat, before)


def test_the_last_step_that_can_be_counted_is_done():
    trainer = fb.Trainer(net(), threads=1)
    trainer.steps_done = 2**63 - 2
    trainer.step(X, Y)
    assert trainer.steps_done == 2**63 - 1
