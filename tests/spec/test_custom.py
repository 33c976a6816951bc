"""A user's own activations and losses: what they compute, their derivatives, how they are kept, what is refused."""

import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.engine.cache import folder
from fastbp.engine.compiler import compilations
from fastbp.errors import ConfigError, ConfigTypeError
from fastbp.spec.formulas import activation_kernels, loss_kernel
from tests.model.chains import DTYPES

TOLERANCE = {"float32": 2e-5, "float64": 1e-13}
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
# Text, the same as a function, the same in NumPy.
FORMULAS = {
    "x * tanh(log(1 + exp(x)))": (lambda x: x * fb.tanh(np.log(1.0 + np.exp(x))), reference.mish_forward),
    "x * sigmoid(1.5 * x)": (lambda x: x * fb.sigmoid(1.5 * x), lambda x: x / (1.0 + np.exp(-1.5 * x))),
    "where(x > 0.25, x ** 2, -x)": (lambda x: np.where(x > 0.25, x**2, -x), lambda x: np.where(x > 0.25, x * x, -x)),
    "sin(x) + maximum(x, 0.5) - abs(x) / 3": (
        lambda x: np.sin(x) + np.maximum(x, 0.5) - np.abs(x) / 3.0,
        lambda x: np.sin(x) + np.maximum(x, 0.5) - np.abs(x) / 3.0,
    ),
    "log(x + 4)": (lambda x: np.log(x + 4.0), lambda x: np.log(x + 4.0)),
    "x": (lambda x: x, lambda x: x),
}


def net_of(activation, dtype="float64", inputs=5):
    return fb.Network([fb.Linear(19), activation, fb.Linear(3)], inputs=inputs, seed=3, dtype=dtype)


def data(rows=37, inputs=5, outputs=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients.values()])


@every_dtype
@pytest.mark.parametrize("text", FORMULAS)
def test_an_activation_is_what_numpy_makes_of_the_formula(text, dtype):
    function, plain = FORMULAS[text]
    X, _ = data()
    p = net_of(fb.Identity(), dtype).parameters
    hidden = plain(X @ p["0.weight"].astype(float) + p["0.bias"])
    expected = hidden @ p["2.weight"].astype(float) + p["2.bias"]
    for formula in (text, function):
        found = net_of(fb.activation(formula), dtype).predict(X)
        assert np.abs(found - expected).max() < TOLERANCE[dtype] * (1.0 + np.abs(expected).max())


@pytest.mark.parametrize("text", FORMULAS)
def test_gradients_of_an_activation_are_central_differences(text):
    X, y = data()
    net = net_of(fb.activation(text))
    gradient = flat(net.loss_and_gradients(X, y, "mse")[1])
    theta, rng = net.flat, np.random.default_rng(1)
    direction = rng.normal(size=theta.shape)
    ends = []
    for step in (1e-6, -1e-6):
        net.flat = theta + step * direction
        ends.append(net.evaluate(X, y, "mse"))
    assert abs(gradient @ direction - (ends[0] - ends[1]) / 2e-6) < 1e-6 * np.abs(gradient * direction).sum()


@every_dtype
@pytest.mark.parametrize("text", FORMULAS)
def test_the_products_of_an_activation_are_adjoint(text, dtype):
    X, u = data()
    v = np.random.default_rng(2).normal(size=X.shape)
    net = net_of(fb.activation(text), dtype)
    left, right = (net.vjp(X, u) * v).sum(dtype=float), (u * net.jvp(X, v)).sum(dtype=float)
    assert abs(left - right) < 50 * TOLERANCE[dtype] * np.abs(net.vjp(X, u) * v).sum(dtype=float)


@every_dtype
@pytest.mark.parametrize("built_in", [("silu", "x * sigmoid(x)"), ("tanh", "tanh(x)"), ("relu", "relu(x)")])
def test_a_formula_of_a_built_in_trains_as_it_does(built_in, dtype):
    X, y = data()
    found = []
    for activation in built_in:
        net = fb.mlp([5, 19, 3], activation=activation, seed=1, dtype=dtype)
        fb.Trainer(net, loss="mse", optimizer=fb.SGD(0.05), batch_size=8).run(X, y, steps=30)
        found.append(net.flat)
    assert np.abs(found[0] - found[1]).max() < 30 * TOLERANCE[dtype]


@pytest.mark.parametrize("formula", ["abs(z - t) ** 3", lambda z, t: np.abs(z - t) ** 3])
def test_a_loss_is_the_mean_of_the_formula_and_its_gradients_are_differences(formula):
    X, y = data()
    weights = np.random.default_rng(4).uniform(0.5, 2.0, len(X))
    net = net_of(fb.Tanh())
    loss = fb.loss(formula)
    rows = (np.abs(net.predict(X) - y) ** 3).mean(axis=1)
    value, gradients = net.loss_and_gradients(X, y, loss, weights)
    assert abs(value - (rows * weights).sum() / weights.sum()) < 1e-12
    assert abs(net.evaluate(X, y, fb.loss(formula, reduction="sum")) - rows.sum()) < 1e-10
    theta, direction = net.flat, np.random.default_rng(5).normal(size=net.flat.shape)
    net.flat = theta + 1e-6 * direction
    ahead = net.evaluate(X, y, loss, weights)
    net.flat = theta - 1e-6 * direction
    behind = net.evaluate(X, y, loss, weights)
    gradient = flat(gradients)
    assert abs(gradient @ direction - (ahead - behind) / 2e-6) < 1e-7 * np.abs(gradient * direction).sum()


def test_the_squared_error_as_a_formula_is_mse():
    X, y = data()
    net = net_of(fb.Tanh())
    ours, theirs = (net.loss_and_gradients(X, y, loss) for loss in ("(z - t) ** 2", "mse"))
    assert abs(ours[0] - theirs[0]) < 1e-14
    assert np.abs(flat(ours[1]) - flat(theirs[1])).max() < 1e-15


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    X, y = data(200)
    found = []
    for count in (1, threads):
        net = fb.mlp([5, 64, 64, 3], activation="x * tanh(softplus(x))", seed=1)
        trainer = fb.Trainer(net, loss="log(1 + (z - t) ** 2)", batch_size=100, threads=count)
        found.append((trainer.run(X, y, steps=20).loss, net.flat.tobytes(), net.predict(X, threads=count).tobytes()))
    assert found[0] == found[1]


def test_what_is_not_defined_in_the_padding_does_no_harm():
    """log of 0 in lanes that are no features."""
    net = fb.Network([fb.Linear(3, init="ones"), fb.activation("log(x)"), fb.Linear(2)], inputs=4)
    trainer = fb.Trainer(net, loss="mse")
    assert np.isfinite(trainer.step(np.ones((2, 4)), np.ones((2, 2))))
    assert np.isfinite(net.flat).all()


def test_a_loss_that_is_not_finite_stops_before_the_update():
    net = fb.Network([fb.Linear(3), fb.activation("log(x)"), fb.Linear(2)], inputs=4)
    before = net.flat
    with pytest.raises(fb.DivergedError):
        fb.Trainer(net, loss="mse").step(-np.ones((2, 4)), np.ones((2, 2)))
    assert np.array_equal(net.flat, before)


# How they are kept


def test_text_and_function_of_one_formula_have_one_kernel():
    text, function = fb.activation("x * sigmoid(x)"), fb.activation(lambda x: x * fb.sigmoid(x))
    assert activation_kernels(text.formula) == activation_kernels(function.formula)
    assert activation_kernels("x * sigmoid(x)") != activation_kernels("x * sigmoid(2 * x)")
    assert loss_kernel("(z - t) ** 2") != loss_kernel("(z - t) ** 4")


def test_functions_that_compute_the_same_are_equal():
    first, second = (fb.activation(lambda x: x * fb.sigmoid(x)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != fb.activation(lambda x: x * fb.sigmoid(3.0 * x))


def test_a_second_network_with_the_formula_compiles_nothing():
    X, y = data()
    net_of(fb.activation("x / (2 + abs(x))")).loss_and_gradients(X, y, "abs(z - t)")
    before = compilations()
    other = fb.mlp([5, 7, 9, 3], activation="x / (2 + abs(x))", dtype="float64")
    other.loss_and_gradients(X, y, fb.loss(lambda z, t: np.abs(z - t)))
    assert compilations() == before


def test_what_was_compiled_is_kept_for_other_processes():
    X, y = data()
    net_of(fb.activation("x * tanh(x)")).loss_and_gradients(X, y, "abs(z - t)")
    place = folder()
    assert place is not None
    _, with_slope = activation_kernels("x * tanh(x)")
    for name in (f"branch_{with_slope}", loss_kernel("abs(z - t)")):
        assert (place / f"{name}-float64.bin").is_file()


@pytest.mark.parametrize("formula", ["x * sigmoid(x)", lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))])
def test_a_saved_network_is_itself_again(formula, tmp_path):
    net = net_of(fb.activation(formula), "float32")
    X, _ = data()
    net.save(tmp_path / "net.safetensors")
    for other in (fb.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net))):
        assert other.layers == net.layers
        assert np.array_equal(other.predict(X), net.predict(X))


@pytest.mark.parametrize(
    "gates",
    [
        [["argument"], ["system", 0]],
        [["argument"], ["exp", 1]],
        [["argument"], ["exp", -1]],
        [["exp", 0]],
        [["argument"], ["exp"]],
        [["argument"], ["exp", 0, 0]],
        [["argument"], ["constant", "x"]],
        [["argument"], []],
        [],
        [["argument"], ["sum", 0]],
        [["argument"], "exp"],
    ],
)
def test_gates_of_a_damaged_file_are_refused(gates):
    with pytest.raises(ConfigError) as info:
        fb.activation(gates)
    assert str(info.value).startswith("`activation` must be gates of this version")


def test_how_they_are_shown():
    assert repr(fb.activation("x * tanh(x)")) == "activation('x * tanh(x)')"
    assert repr(fb.activation(lambda x: x * fb.tanh(x))) == "activation(<2 gates>)"
    assert repr(fb.loss("abs(z - t)")) == "loss('abs(z - t)')"


# In networks that are put together


def test_numpys_functions_take_signals():
    x = fb.Input(4)
    h = fb.Linear(6)(x)
    net = fb.Network(inputs=x, outputs=np.exp(-abs(h)) + np.maximum(h, 0.25) * np.float64(2.0), dtype="float64")
    X, _ = data(9, 4)
    z = X @ net.parameters["0.weight"] + net.parameters["0.bias"]
    assert np.allclose(net.predict(X), np.exp(-np.abs(z)) + 2.0 * np.maximum(z, 0.25), rtol=1e-14, atol=0)


def test_numpys_functions_of_features_take_signals():
    x = fb.Input(4)
    h = fb.Linear(6)(x)
    parts = [np.mean(h, axis=1), h.sum(axis=-1), np.clip(h, -0.1, 0.2), np.concatenate([h, x], axis=1), 2.0**x]
    net = fb.Network(inputs=x, outputs=fb.concat([*parts, np.hstack([x, x])]), dtype="float64")
    X, _ = data(9, 4)
    z = X @ net.parameters["0.weight"] + net.parameters["0.bias"]
    expected = [z.mean(1, keepdims=True), z.sum(1, keepdims=True), np.clip(z, -0.1, 0.2), z, X, 2.0**X, X, X]
    assert np.allclose(net.predict(X), np.hstack(expected), rtol=1e-13, atol=1e-13)


REFUSED = {
    "rows mixed": (
        lambda h: np.mean(h),
        "`mean` of a signal must be over its features, axis 1, as rows do not mix, got `None`",
    ),
    "rows summed": (
        lambda h: h.sum(axis=0),
        "`sum` of a signal must be over its features, axis 1, as rows do not mix, got `0`",
    ),
    "rows joined": (
        lambda h: np.concatenate([h, h]),
        "`np.concatenate` is not supported in a network\nhint: `fb.concat([h, g])`, or `axis=1`",
    ),
    "stacked": (
        lambda h: np.stack([h, h]),
        "`np.stack` is not supported in a network\nhint: `fb.concat([h, g])`, or `axis=1`",
    ),
    "sorted": (lambda h: np.sort(h), "`np.sort` is not supported in a network"),
    "a matrix": (
        lambda h: h @ np.ones((4, 2)),
        "a signal must be multiplied with a matrix by a layer, such as `fb.Linear(10)(h)`, got `@`",
    ),
    "a matrix before": (
        lambda h: np.ones((2, 4)) @ h,
        "a signal must be combined with signals and numbers, got `ndarray`",
    ),
    "an array": (lambda h: np.ones(4) + h, "a signal must be combined with signals and numbers, got `ndarray`"),
    "an array in a function": (
        lambda h: np.maximum(h, np.ones(4)),
        "a signal must be combined with signals and numbers, got `ndarray`",
    ),
    "a comparison": (
        lambda h: h == 0,
        "a network must be the same for all rows, so a signal has no truth value\n"
        "hint: `fb.relu(h)` or a product with `fb.sigmoid(g)` chooses row by row",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_gate_is_refused(name):
    use, message = REFUSED[name]
    with pytest.raises(ConfigError) as info:
        use(fb.Input(4))
    assert str(info.value) == message


def test_a_function_of_two_signals_is_refused():
    x = fb.Input(4)
    with pytest.raises(ConfigError) as info:
        np.maximum(x, fb.Tanh()(x))
    assert str(info.value) == (
        "`np.maximum` must be given one signal, and otherwise numbers\nhint: `h + fb.relu(g - h)` is the larger of two"
    )


# What is refused

KNOWN = (
    "`abs`, `add`, `cos`, `divide`, `erf`, `exp`, `expm1`, `log`, `log1p`, `maximum`, `minimum`, `multiply`, `negate`, "
    "`power`, `relu`, `sigmoid`, `sign`, `sin`, `softplus`, `sqrt`, `subtract`, `tanh`, `where`"
)
BRANCH = (
    "`bool` of a traced value is not known: a traced function is run once, so what it does may not depend on"
    " values\nhint: use `np.where(x > 0, a, b)` or `np.maximum(a, b)` instead of `if`"
)


@pytest.mark.parametrize(
    ("formula", "kind", "message"),
    [
        ("foo(x)", ConfigError, f"`activation` must be one of {KNOWN}, got `foo`"),
        ("x + y", ConfigError, "`activation` must use no names but `x`, got `y`"),
        ("3.0", ConfigError, "`activation` must depend on x, got a constant"),
        (lambda x: 3.0, ConfigError, "`activation` must depend on x, got a constant"),
        (lambda x: x if x > 0 else 0.0, ConfigError, BRANCH),
        (lambda x: (x, x), ConfigTypeError, "`activation` must give one number, got a tuple"),
        (
            lambda x: x * np.ones(3),
            ConfigError,
            "`activation` must be elementwise, got a result of shape `(3,)`",
        ),
        (3, ConfigTypeError, "`activation` must be a function of x, or a formula as text, got `3`"),
    ],
)
def test_what_is_no_activation_is_refused(formula, kind, message):
    with pytest.raises(kind) as info:
        fb.activation(formula)
    assert str(info.value) == message


def test_a_function_of_more_or_less_is_refused_before_it_is_called():
    made = {
        fb.activation: ("activation", "x", lambda: 1.0),
        fb.loss: ("loss", "z, t", lambda z, t, w: w * (z - t) ** 2),
    }
    for make, (where, names, formula) in made.items():
        with pytest.raises(ConfigTypeError) as info:
            make(formula)
        assert str(info.value) == f"`{where}` must be a function of {names}, or a formula as text, got `{formula!r}`"
    assert fb.activation(np.tanh)
    assert fb.loss(lambda z, t, power=2: abs(z - t) ** power)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("abs(x)", "`loss` must use no names but `z`, `t`, got `x`"),
        ("t ** 2", "`loss` must depend on z, got a constant"),
    ],
)
def test_what_is_no_loss_is_refused(formula, message):
    with pytest.raises(ConfigError) as info:
        fb.loss(formula)
    assert str(info.value) == message
