"""What the literature computes by hand, traced: each test names the text and quotes its formula."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.autodiff.explain import steps_of

RNG = np.random.default_rng(0)
POINTS = [(3.0, -4.0), *(tuple(map(float, RNG.normal(size=2) * 3)) for _ in range(5))]


def sigma(x):
    return 1.0 / (1.0 + np.exp(-x))


# 001_c38d15205e6ed2f9.txt: f(x, y) = (x + σ(y)) / (σ(x) + (x + y)²)


def staged(x, y):
    """The text's stages, forward and backward: every forward value and every adjoint."""
    sigy = sigma(y)  # (1)
    num = x + sigy  # (2)
    sigx = sigma(x)  # (3)
    xpy = x + y  # (4)
    xpysqr = xpy**2  # (5)
    den = sigx + xpysqr  # (6)
    invden = 1.0 / den  # (7)
    f = num * invden  # (8)
    dnum, dinvden = invden, num
    dden = (-1.0 / den**2) * dinvden
    dsigx = dxpysqr = dden
    dxpy = 2.0 * xpy * dxpysqr
    dx, dy = dxpy, dxpy
    dx += (1.0 - sigx) * sigx * dsigx
    dx += dnum
    dsigy = dnum
    dy += (1.0 - sigy) * sigy * dsigy
    values = {
        "sigy": sigy,
        "num": num,
        "sigx": sigx,
        "xpy": xpy,
        "xpysqr": xpysqr,
        "den": den,
        "invden": invden,
        "f": f,
    }
    adjoints = {"sigy": dsigy, "num": dnum, "sigx": dsigx, "xpy": dxpy, "xpysqr": dxpysqr, "den": dden}
    return values, {**adjoints, "invden": dinvden, "x": dx, "y": dy, "f": 1.0}


@fb.trace
def of_text(x, y):
    return (x + fb.sigmoid(y)) * (1.0 / (fb.sigmoid(x) + (x + y) ** 2))


@pytest.mark.parametrize(("x", "y"), POINTS)
def test_every_forward_value_and_every_adjoint_is_the_texts(x, y):
    values, adjoints = staged(x, y)
    assert np.isclose(of_text(x, y), values["f"], rtol=1e-13)
    np.testing.assert_allclose(of_text.gradient(x, y), (adjoints["x"], adjoints["y"]), rtol=1e-11)
    steps = steps_of(of_text, (), {"x": x, "y": y})
    for name in values:
        close = [s for s in steps if np.isclose(s.value, values[name], rtol=1e-12)]
        assert any(np.isclose(s.adjoint, adjoints[name], rtol=1e-11) for s in close), name


@pytest.mark.parametrize(("x", "y"), POINTS)
def test_one_over_sigma_has_the_derivative_of_the_text(x, y):
    """f(x) = 1 / σ(x) = 1 + e⁻ˣ, f'(x) = (σ(x) - 1) / σ(x)."""
    F = fb.trace(lambda x: 1.0 / fb.sigmoid(x))
    assert np.isclose(F.gradient(x)[0], (sigma(x) - 1.0) / sigma(x), rtol=1e-12)


# 001: the gates


def test_add_hands_its_gradient_to_all_inputs_unchanged():
    F = fb.trace(lambda x, y, z: x + y + z)
    assert F.vjp((3.0, -1e9, 0.1), 2.5) == (2.5, 2.5, 2.5)


def test_multiply_swaps_its_inputs():
    F = fb.trace(lambda x, y: x * y)
    assert F.vjp((3.0, -4.0), 2.0) == (-8.0, 6.0)


def test_a_branch_adds_what_comes_back():
    """x_k = x_in, dx_in = Σ_k dx_k."""
    parts = [fb.trace(f) for f in (np.exp, lambda x: x * 3.0, fb.sigmoid)]
    whole = fb.trace(lambda x: np.exp(x) + x * 3.0 + fb.sigmoid(x))
    assert np.isclose(whole.gradient(0.7)[0], sum(p.gradient(0.7)[0] for p in parts), rtol=1e-14)


def test_inputs_times_1000_make_the_gradient_of_the_weights_times_1000():
    """For wᵀx: "if you multiplied all input data examples by 1000 ... the gradient on the weights will be 1000 times
    larger".
    """
    F = fb.trace(lambda w, x: np.dot(w, x))
    w, x = RNG.normal(size=5), RNG.normal(size=5)
    np.testing.assert_allclose(F.gradient(w, 1000.0 * x)[0], 1000.0 * F.gradient(w, x)[0], rtol=1e-15)


# 000_caa7b309fc04c23e.txt: x = (0.5, 0.7), w̄ = (1.0, 0.7, 2.0), z* = 3.5, a step with α = 1.0


def test_the_neuron_takes_the_step_of_the_text():
    augmented = np.array([1.0, 0.5, 0.7])  # the bias's input first
    w, target, alpha = np.array([1.0, 0.7, 2.0]), 3.5, 1.0
    loss = fb.trace(lambda w: (np.dot(w, augmented) - target) ** 2 / 2.0)
    z = 1.0 + 0.7 * 0.5 + 2.0 * 0.7
    assert np.isclose(loss(w), 0.5 * (z - 3.5) ** 2, rtol=1e-15)
    (gradient,) = loss.gradient(w)
    np.testing.assert_allclose(gradient, (z - 3.5) * augmented, rtol=1e-14)
    stepped = w - alpha * gradient
    np.testing.assert_allclose(stepped, [1.75, 1.075, 2.525], rtol=1e-12)
    assert loss(stepped) < loss(w)


# 002_0ece285c8c4552d2.txt: z = w x + b, a = relu(z); 004_42d9ad2508be9c51.txt: ŷ = σ(z), L = ½ (y - ŷ)²


@pytest.mark.parametrize(("w", "x", "b", "y"), [(0.5, 2.0, 0.25, 1.0), (-1.0, 0.5, 0.1, 3.0), (2.0, 1.5, -0.5, 0.0)])
def test_the_neuron_with_a_relu(w, x, b, y):
    """z = w x + b, a = relu(z), L = (a_true - a)²."""
    F = fb.trace(lambda w, b: (y - fb.relu(w * x + b)) ** 2)
    z = w * x + b
    dz = -2.0 * (y - max(z, 0.0)) * (z > 0.0)
    np.testing.assert_allclose(F.gradient(w, b), (dz * x, dz), rtol=1e-14)


@pytest.mark.parametrize(("w", "x", "b", "y"), [(0.5, 2.0, 0.25, 1.0), (-1.0, 0.5, 0.1, 3.0), (2.0, 1.5, -0.5, 0.0)])
def test_the_neuron_with_a_sigmoid(w, x, b, y):
    """dL/dw = (ŷ - y) σ'(z) x."""
    F = fb.trace(lambda w, b: 0.5 * (y - fb.sigmoid(w * x + b)) ** 2)
    s = sigma(w * x + b)
    dz = (s - y) * s * (1.0 - s)
    np.testing.assert_allclose(F.gradient(w, b), (dz * x, dz), rtol=1e-13)


def test_the_derivative_along_a_path_is_the_sum_over_both_ways():
    """∂/∂t f(x(t), y(t)) = ∂f/∂x ∂x/∂t + ∂f/∂y ∂y/∂t."""
    outer, x_of, y_of = (fb.trace(f) for f in (lambda x, y: x * y + np.exp(x), np.sin, lambda t: t**3))
    whole = fb.trace(lambda t: np.sin(t) * t**3 + np.exp(np.sin(t)))
    t = 0.8
    by_x, by_y = outer.gradient(x_of(t), y_of(t))
    assert np.isclose(whole.gradient(t)[0], by_x * x_of.gradient(t)[0] + by_y * y_of.gradient(t)[0], rtol=1e-13)


def test_the_error_at_x_is_the_transposed_jacobian_times_the_error_at_y():
    """∂L/∂x_i = Σ_j ∂L/∂y_j ∂y_j/∂x_i."""
    A = RNG.normal(size=(3, 2))
    y_of = fb.trace(lambda x: np.tanh(A @ x))
    loss = fb.trace(lambda y: (y * y).sum())
    whole = fb.trace(lambda x: (np.tanh(A @ x) ** 2).sum())
    x = RNG.normal(size=2)
    (at_y,) = loss.gradient(y_of(x))
    np.testing.assert_allclose(whole.gradient(x)[0], y_of.jacobian(x).T @ at_y, rtol=1e-12)


# 003_8d64f361977bb572.txt: J = J4 J3 J2 J1, by columns (JVP) and by rows (VJP)


def chain(sizes):
    weights = [RNG.normal(size=pair) for pair in zip(sizes[1:], sizes, strict=False)]

    def function(x):
        for W in weights:
            x = np.tanh(W @ x)
        return x

    return function, weights


@pytest.mark.parametrize("sizes", [(3, 5, 4, 6, 7), (9, 5, 4, 6, 2)])
def test_columns_by_jvp_and_rows_by_vjp_are_the_product_of_the_jacobians(sizes):
    function, weights = chain(sizes)
    F = fb.trace(function)
    x = RNG.normal(size=sizes[0])
    product, value = np.eye(sizes[0]), x
    for W in weights:
        value = np.tanh(W @ value)
        product = (1.0 - value**2)[:, None] * W @ product
    for mode in ("forward", "reverse", "auto"):
        np.testing.assert_allclose(F.jacobian(x, mode=mode), product, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("sizes", "mode", "calls"), [((3, 8, 7), "forward", 3), ((9, 8, 2), "reverse", 2)])
def test_auto_takes_whichever_are_fewer_and_costs_as_many_products(sizes, mode, calls, monkeypatch):
    function, _ = chain(sizes)
    F = fb.trace(function)
    done = {"forward": 0, "reverse": 0}
    for name, which in (("jvp", "forward"), ("vjp", "reverse")):
        plain = getattr(type(F), name)

        def counted(self, *args, plain=plain, which=which):
            done[which] += 1
            return plain(self, *args)

        monkeypatch.setattr(type(F), name, counted)
    x = RNG.normal(size=sizes[0])
    F.jacobian(x)
    assert done == {"forward": 0, "reverse": 0, mode: calls}
    done.update(forward=0, reverse=0)
    F.jacobian(x, mode="forward")
    F.jacobian(x, mode="reverse")
    assert done == {"forward": sizes[0], "reverse": sizes[-1]}


def test_the_vjp_of_the_cross_entropy_layer_is_p_minus_y():
    """z = -Σ_c y_c log p_c with p_c = exp(x_c) / Σ exp(x_c') has the Jacobian (p - y)ᵀ."""
    y = np.eye(4)[2]
    loss = fb.trace(lambda x: -(y * np.log(np.exp(x) / np.exp(x).sum())).sum())
    x = RNG.normal(size=4)
    np.testing.assert_allclose(loss.gradient(x)[0], np.exp(x) / np.exp(x).sum() - y, rtol=1e-12)


def test_the_vjp_of_an_elementwise_layer_is_u_times_the_slope():
    """uᵀ J = u ⊙ φ'(x)."""
    x, u = RNG.normal(size=6), RNG.normal(size=6)
    np.testing.assert_allclose(fb.trace(fb.tanh).vjp((x,), u)[0], u * (1.0 - np.tanh(x) ** 2), rtol=1e-12)


def test_the_vjps_of_a_linear_layer_are_those_of_the_text():
    """uᵀ ∂(Wx)/∂x = Wᵀu and uᵀ ∂(Wx)/∂W = u xᵀ."""
    W, x, u = RNG.normal(size=(4, 3)), RNG.normal(size=3), RNG.normal(size=4)
    dW, dx = fb.trace(lambda W, x: W @ x).vjp((W, x), u)
    np.testing.assert_allclose(dx, W.T @ u, rtol=1e-14)
    np.testing.assert_allclose(dW, np.outer(u, x), rtol=1e-15)


def test_the_two_layer_network_of_the_text_put_together():
    """L(θ) = ½ ‖y - W2 φ(W1 x)‖²: g1 = ∂L/∂W1 = [(W2ᵀ u4) ⊙ φ'(W1 x)] xᵀ, g2 = u4 φ(W1 x)ᵀ."""
    W1, W2, x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(2, 5)), RNG.normal(size=3), RNG.normal(size=2)
    loss = fb.trace(lambda W1, W2: 0.5 * ((y - W2 @ np.tanh(W1 @ x)) ** 2).sum())
    h = np.tanh(W1 @ x)
    u4 = W2 @ h - y
    g1, g2 = loss.gradient(W1, W2)
    np.testing.assert_allclose(g2, np.outer(u4, h), rtol=1e-12)
    np.testing.assert_allclose(g1, np.outer((W2.T @ u4) * (1.0 - h**2), x), rtol=1e-12)
