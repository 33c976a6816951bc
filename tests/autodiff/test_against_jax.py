"""Random traced functions against JAX: values, gradients, products, Hessian-vector products."""

import numpy as np
import pytest

import fastbp as fb

jax = pytest.importorskip("jax")
jnp = jax.numpy

ONE = (
    *("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "sigmoid", "abs", "negate", "relu", "softplus"),
    *("square", "erf", "arctan", "cosh", "sinh"),
)
TWO = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "whole power", "where", "branch")
SHAPES = ((), (3,), (4, 3))


@pytest.fixture(autouse=True)
def doubles():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # most of the time goes into compiling
    with jax.disable_jit():
        yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_enable_x64", before)


def one(name, x, np, own):
    """A gate of one input, kept where it is smooth and bounded."""
    if name in ("sigmoid", "relu", "softplus", "erf"):
        return own[name](x)
    if name in ("expm1", "log1p"):
        return getattr(np, name)(np.tanh(x) * 0.7)
    if name == "log":
        return np.log(1.5 + np.tanh(x))
    if name == "sqrt":
        return np.sqrt(1.0 + x * x)
    if name in ("cosh", "sinh"):
        return getattr(np, name)(np.tanh(x))
    if name == "exp":
        return np.exp(np.tanh(x))
    if name == "negate":
        return -x
    if name == "square":
        return x**2 * 0.1
    return getattr(np, name)(x)


def two(name, x, y, np):
    if name == "divide":
        return x / (2.0 + np.tanh(y))
    if name == "power":
        return (1.5 + np.tanh(x)) ** np.tanh(y)
    if name == "whole power":  # known when it runs, of numbers of either sign
        return (0.2 * np.tanh(x) + np.sign(x)) ** (2.0 * np.sign(y) + 1.0)
    if name == "where":
        return np.where(x > y, x * 2.0, y)
    if name == "branch":
        return x * y + x - y * y * 0.1
    return getattr(np, name)(x, y)


def recipe(seed):
    """Gates by name and the places of their inputs, drawn once."""
    rng = np.random.default_rng(seed)
    count = 2 + seed % 3
    shapes = [SHAPES[rng.integers(3)] for _ in range(count)]
    steps = []
    for i in range(6 + seed % 9):
        if rng.random() < 0.5:
            steps.append((str(rng.choice(ONE)), int(rng.integers(count + i))))
        else:
            steps.append((str(rng.choice(TWO)), *map(int, rng.integers(0, count + i, 2))))
    return shapes, steps, bool(seed % 4 == 0)


def function(seed, np, own):
    shapes, steps, whole = recipe(seed)

    def f(*args):
        values = list(args)
        for name, *places in steps:
            made = (
                one(name, values[places[0]], np, own)
                if len(places) == 1
                else two(name, *(values[p] for p in places), np)
            )
            values.append(np.tanh(made) if len(values) % 5 == 0 else made)
        last = values[-1] + sum(values[i].sum() if shapes[i] else values[i] for i in range(len(shapes))) * 0.1
        if whole:  # a matrix product and a mean on the way
            left = np.reshape(np.tanh(last + np.zeros((4, 3))), (4, 3))
            return np.mean(np.dot(left, np.transpose(left)), axis=0)
        return last

    return f


OURS = {name: getattr(fb, name) for name in ("sigmoid", "relu", "softplus", "erf")}
THEIRS = {
    "sigmoid": jax.nn.sigmoid,
    "relu": lambda x: jnp.where(x > 0.0, x, 0.0),
    "softplus": jax.nn.softplus,
    "erf": jax.scipy.special.erf,
}


def arguments(seed):
    rng = np.random.default_rng(seed + 1000)
    shapes, _, _ = recipe(seed)
    return [rng.normal(size=s) if s else float(rng.normal()) for s in shapes]


def close(ours, theirs):
    theirs = np.asarray(theirs)
    scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-3)
    assert np.shape(ours) == theirs.shape
    assert np.abs(ours - theirs).max(initial=0.0) <= 1e-10 * scale


@pytest.mark.parametrize("seed", range(200))
def test_a_random_function_and_its_derivatives_are_jaxs(seed):
    args, rng = arguments(seed), np.random.default_rng(seed)
    F, f = fb.trace(function(seed, np, OURS)), function(seed, jnp, THEIRS)
    value = F(*args)
    close(value, f(*args))
    tangents = [rng.normal(size=np.shape(a)) if np.shape(a) else float(rng.normal()) for a in args]
    u = rng.normal(size=np.shape(value)) if np.shape(value) else float(rng.normal())
    _, pull = jax.vjp(f, *args)
    for ours, theirs in zip(F.vjp(args, u), pull(jnp.asarray(u)), strict=True):
        close(ours, theirs)
    _, moved = jax.jvp(f, tuple(map(jnp.asarray, args)), tuple(map(jnp.asarray, tangents)))
    close(F.jvp(args, tangents), moved)
    S, s = fb.trace(lambda *a: (F.function(*a) ** 2).sum() + 0.0), lambda *a: (f(*a) ** 2).sum()
    every = tuple(range(len(args)))
    for ours, theirs in zip(S.gradient(*args), jax.grad(s, every)(*args), strict=True):
        close(ours, theirs)
    products = jax.jvp(jax.grad(s, every), tuple(map(jnp.asarray, args)), tuple(map(jnp.asarray, tangents)))[1]
    for ours, theirs in zip(S.hessian_vector(args, tangents), products, strict=True):
        close(ours, theirs)


def test_every_gate_is_in_several_of_them():
    seen = [name for seed in range(200) for name, *_ in recipe(seed)[1]]
    assert min(seen.count(name) for name in (*ONE, *TWO)) > 20


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_among_equal_numbers_are_jaxs(name):
    X = np.round(np.random.default_rng(5).normal(size=(7, 5)))
    for axis in (None, 0, 1):
        F = fb.trace(lambda X, axis=axis: (getattr(np, name)(X, axis=axis) ** 2).sum())
        f = lambda X, axis=axis: (getattr(jnp, name)(X, axis=axis) ** 2).sum()  # noqa: E731
        close(F.gradient(X)[0], jax.grad(f)(X))
        close(F.hessian_vector((X,), (X + 0.5,))[0], jax.jvp(jax.grad(f), (X,), (X + 0.5,))[1])
