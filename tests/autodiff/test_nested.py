"""Derivatives inside of traced functions, against JAX's of the same."""

import numpy as np
import pytest

import fastbp as fb

jax = pytest.importorskip("jax")
jnp = jax.numpy

RNG = np.random.default_rng(8)
W, V = RNG.normal(size=(4, 3)), RNG.normal(size=3)


@pytest.fixture(autouse=True)
def doubles():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def wave(np, w, x):
    return (np.tanh(w @ x) ** 2).sum() + np.sin(x[0] * w[0, 1])


def inner(x):
    return wave(np, W, x) * x[1]


def theirs(x):
    return wave(jnp, W, x) * x[1]


F = fb.trace(inner)
G = fb.trace(lambda x: np.sin(W @ x) * x[0])
g = lambda x: jnp.sin(W @ x) * x[0]  # noqa: E731
T = np.array([0.5, -1.0, 2.0])
U = np.array([0.5, -1.0, 2.0, 1.0])
PAIRS = {
    "call": (lambda x: F(x) * x[0], lambda x: theirs(x) * x[0]),
    "gradient": (lambda x: (F.gradient(x * x)[0] ** 2).sum(), lambda x: (jax.grad(theirs)(x * x) ** 2).sum()),
    "value and gradient": (
        lambda x: F.value_and_gradient(x)[0] + F.value_and_gradient(x)[1][0].sum(),
        lambda x: theirs(x) + jax.grad(theirs)(x).sum(),
    ),
    "vjp": (
        lambda x: (G.vjp((x,), U * x[1])[0] ** 2).sum(),
        lambda x: (jax.vjp(g, x)[1](U * x[1])[0] ** 2).sum(),
    ),
    "vjp at a constant": (
        lambda x: (G.vjp((T,), U * x[1])[0] ** 2).sum(),
        lambda x: (jax.vjp(g, T)[1](U * x[1])[0] ** 2).sum(),
    ),
    "jvp": (
        lambda x: (G.jvp((x,), (x * T,)) ** 2).sum(),
        lambda x: (jax.jvp(g, (x,), (x * T,))[1] ** 2).sum(),
    ),
    "jacobian": (lambda x: (G.jacobian(x) ** 2).sum(), lambda x: (jax.jacobian(g)(x) ** 2).sum()),
    "jacobian in reverse": (
        lambda x: (G.jacobian(x, mode="reverse") ** 2).sum(),
        lambda x: (jax.jacobian(g)(x) ** 2).sum(),
    ),
    "hessian": (lambda x: (F.hessian(x) ** 2).sum(), lambda x: (jax.hessian(theirs)(x) ** 2).sum()),
    "hessian-vector": (
        lambda x: (F.hessian_vector((x,), (T,))[0] ** 2).sum(),
        lambda x: (jax.jvp(jax.grad(theirs), (x,), (T,))[1] ** 2).sum(),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_derivative_inside_is_differentiated_as_jaxs(name):
    ours, other = PAIRS[name]
    outer = fb.trace(ours)
    value, (gradient,) = outer.value_and_gradient(V)
    np.testing.assert_allclose(value, other(V), rtol=1e-12)
    np.testing.assert_allclose(gradient, jax.grad(other)(V), rtol=1e-10)
    np.testing.assert_allclose(outer.hessian_vector((V,), (T,))[0], jax.jvp(jax.grad(other), (V,), (T,))[1], rtol=1e-9)


def residual(np, second, w, b, points):
    """Σ (u'' - u - x)² of a small network u."""
    total = 0.0
    for x in points:
        u = lambda x: np.tanh(x * w + b) @ w  # noqa: E731
        total = total + (second(u)(x) - u(x) - x) ** 2
    return total


def second_of_ours(u):
    first = fb.trace(lambda x: fb.trace(u).gradient(x)[0])
    return lambda x: first.gradient(x)[0]


def test_a_residual_with_second_derivatives_of_what_it_reads_has_jaxs_gradient():
    w, b, points = RNG.normal(size=4), RNG.normal(size=4), np.array([-1.0, 0.3, 2.0]).tolist()
    second = lambda u: jax.grad(jax.grad(u))  # noqa: E731
    for ours, other in zip(
        fb.trace(lambda w, b: residual(np, second_of_ours, w, b, points)).gradient(w, b),
        jax.grad(lambda w, b: residual(jnp, second, w, b, points), (0, 1))(w, b),
        strict=True,
    ):
        np.testing.assert_allclose(ours, other, rtol=1e-10)


def test_the_derivative_is_in_the_own_arguments_alone():
    product = fb.trace(lambda x, y: x * y * y)
    assert fb.trace(lambda x: product.gradient(x, x * 2.0)[0])(3.0) == 36.0
    assert fb.trace(lambda x: product.gradient(x, x)[1])(3.0) == 18.0
    assert fb.trace(lambda x: x * fb.trace(lambda y: x + y).gradient(x)[0]).gradient(5.0) == (1.0,)


def test_what_does_not_depend_on_the_function_around_it_is_a_number():
    square = fb.trace(lambda x: x * x)
    assert fb.trace(lambda x: x * float(square.gradient(3.0)[0]) * float(square(2.0)))(1.0) == 24.0


def test_shapes_are_checked_inside_too():
    with pytest.raises(fb.ShapeError) as info:
        fb.trace(lambda x: G.gradient(x)[0])(V)
    assert str(info.value) == "`gradient` needs a function whose result is one number, got shape `(4,)`"
    with pytest.raises(fb.ShapeError) as info:
        fb.trace(lambda x: G.jvp((x,), (x[:2],)))(V)
    assert str(info.value) == "`tangents` must have shape `(3,)`, got `(2,)`"
    with pytest.raises(fb.ConfigError) as info:
        fb.trace(lambda x: F.hessian_vector((x,), (x, x))[0])(V)
    assert str(info.value) == "`v` must be a tuple of 1 values, got 2"
