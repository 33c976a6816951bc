"""Optimisers: one function a rule, from (θ, g, state) to the next (θ, state), with the semantics of torch.optim.

θ and g are arrays of one shape and dtype, which the results keep; `state` is {} before the first step, then what the
last step returned; t is the number of this step, from 1; ε keeps divisions finite.

`weight_decay` λ pulls every parameter, biases too, towards 0: as an L2 penalty g <- g + λθ, or `decoupled` from
the rule, θ <- θ (1 - lr λ) first (Loshchilov and Hutter, 2017), as adamw and lion do by default.

Moving averages of gradients, m <- β m + (1 - β) g, begin at 0 and hold 1 - βᵗ of their weights after t steps, so
m̂ = m / (1 - βᵗ) is an average.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = dict[str, Any]
Betas = tuple[float, float]


def sgd(
    theta: Array,
    g: Array,
    state: State,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of gradient descent: m <- momentum m + g, θ <- θ - lr m; of Nesterov's: θ - lr (g + momentum m).

    Examples
    --------
    >>> theta, state = np.array([1.0]), {}
    >>> for _ in range(2):
    ...     theta, state = sgd(theta, 2 * theta, state, lr=0.25, momentum=0.5)
    >>> theta.tolist(), state["m"].tolist()
    ([0.0], [2.0])
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    if momentum == 0:
        return theta - float(lr) * g, {}
    m = momentum * state["m"] + g if state else g.copy()
    move = g + momentum * m if nesterov else m
    return theta - float(lr) * move, {"m": m}


def adam(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    amsgrad: bool = False,
) -> tuple[Array, State]:
    """One step of Adam (Kingma and Ba, 2014).

    m <- β₁m + (1-β₁)g, v <- β₂v + (1-β₂)g², θ <- θ - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + eps); with amsgrad the largest
    v so far stands for v in the last (Reddi, Kale and Kumar, 2018).

    Examples
    --------
    >>> theta, state = adam(np.array([1.0, 1.0]), np.array([1e-3, -7.0]), {}, lr=0.5)
    >>> theta.round(4).tolist()                    # the first step is lr sign(g)
    [0.5, 1.5]
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    beta1, beta2 = betas
    t = state.get("t", 0) + 1
    m = (1 - beta1) * g
    v = g * g
    v *= 1 - beta2
    if state:
        m += beta1 * state["m"]
        v += beta2 * state["v"]
    after = {"t": t, "m": m, "v": v}
    if amsgrad:
        after["v_max"] = v = np.maximum(v, state["v_max"]) if state else v
    root = np.sqrt(v)
    root /= (1 - beta2**t) ** 0.5
    root += eps
    move = np.divide(m, root, out=root)
    move *= float(lr) / (1 - beta1**t)
    return theta - move, after


def adamw(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    decoupled: bool = True,
    amsgrad: bool = False,
) -> tuple[Array, State]:
    """One step of AdamW: θ <- θ (1 - lr weight_decay), biases too, then the step of Adam."""
    return adam(theta, g, state, lr, betas, eps, weight_decay, decoupled, amsgrad)


def nadam(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    momentum_decay: float = 4e-3,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of NAdam, Adam that looks ahead as Nesterov does (Dozat, 2016).

    With μ_t = β₁ (1 - 0.96^(t momentum_decay) / 2) in the place of β₁ and Π_t = μ_1 ... μ_t in that of β₁ᵗ,
    θ <- θ - lr ((1 - μ_t) / (1 - Π_t) g + μ_{t+1} / (1 - Π_{t+1}) m) / (√v̂ + eps); m still moves by β₁.
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    t = state.get("t", 0) + 1
    m, v = _average("m", g, state, betas[0]), _average("v", g * g, state, betas[1])
    mu, mu_next = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    product = state.get("mu", 1.0) * mu
    ahead = (1 - mu) / (1 - product) * g + mu_next / (1 - product * mu_next) * m
    root = np.sqrt(v / (1 - betas[1] ** t)) + eps
    return theta - float(lr) * ahead / root, {"t": t, "m": m, "v": v, "mu": product}


def radam(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of RAdam, which trusts √v only once it has seen enough (Liu et al., 2019).

    v is as good as ρ_t = ρ∞ - 2t β₂ᵗ / (1 - β₂ᵗ) samples, ρ∞ = 2 / (1 - β₂) - 1. Up to ρ_t = 5, θ <- θ - lr m̂; then
    θ <- θ - lr r m̂ √(1 - β₂ᵗ) / (√v + eps) with r² = (ρ_t - 4) (ρ_t - 2) ρ∞ / ((ρ∞ - 4) (ρ∞ - 2) ρ_t).
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    t = state.get("t", 0) + 1
    m, v = _average("m", g, state, betas[0]), _average("v", g * g, state, betas[1])
    move = m / (1 - betas[0] ** t)
    whole = 1 - betas[1] ** t
    most = 2 / (1 - betas[1]) - 1
    samples = most - 2 * t * betas[1] ** t / whole
    if samples > 5:
        trust = ((samples - 4) * (samples - 2) * most / ((most - 4) * (most - 2) * samples)) ** 0.5
        move = move * (trust * whole**0.5) / (np.sqrt(v) + eps)
    return theta - float(lr) * move, {"t": t, "m": m, "v": v}


def adagrad(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    initial: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of Adagrad (Duchi, Hazan and Singer, 2011).

    v <- v + g² from v = initial, θ <- θ - lr / (1 + (t-1) lr_decay) · g / (√v + eps).
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    t = state.get("t", 0) + 1
    v = state.get("v", float(initial)) + g * g
    rate = float(lr) / (1 + (t - 1) * lr_decay)
    return theta - rate * g / (np.sqrt(v) + eps), {"t": t, "v": v}


def adadelta(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of Adadelta (Zeiler, 2012): moves have the size of earlier moves.

    v <- ρv + (1-ρ)g², Δ = √(u + eps) / √(v + eps) · g, u <- ρu + (1-ρ)Δ², θ <- θ - lr Δ.
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    v = _average("v", g * g, state, rho)
    move = np.sqrt(state.get("u", np.zeros_like(g)) + eps) / np.sqrt(v + eps) * g
    return theta - float(lr) * move, {"v": v, "u": _average("u", move * move, state, rho)}


def rmsprop(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Array, State]:
    """One step of RMSprop (Hinton's lecture 6, 2012; centred: Graves, 2013).

    v <- αv + (1-α)g², m <- momentum m + g / (√v + eps), θ <- θ - lr m; centred, with ḡ <- αḡ + (1-α)g, the variance
    v - ḡ² stands for v in the second.
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    v = _average("v", g * g, state, alpha)
    after, variance = {"v": v}, v
    if centered:
        after["mean"] = mean = _average("mean", g, state, alpha)
        variance = np.maximum(v - mean * mean, 0)  # which rounding alone makes negative
    move = g / (np.sqrt(variance) + eps)
    if momentum:
        after["m"] = move = momentum * state.get("m", 0.0) + move
    return theta - float(lr) * move, after


def lion(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-4,
    betas: Betas = (0.9, 0.99),
    weight_decay: float = 0.0,
    decoupled: bool = True,
) -> tuple[Array, State]:
    """One step of Lion (Chen et al., 2023): θ <- θ - lr sign(β₁m + (1-β₁)g), then m <- β₂m + (1-β₂)g.

    Examples
    --------
    >>> theta, state = lion(np.array([1.0, 1.0, 1.0]), np.array([1e-3, -7.0, 0.0]), {}, lr=0.5)
    >>> theta.tolist(), state["m"].round(5).tolist()
    ([0.5, 1.5, 1.0], [1e-05, -0.07, 0.0])
    """
    theta, g = _decayed(theta, g, lr, weight_decay, decoupled)
    move = np.sign(_average("m", g, state, betas[0]))
    return theta - float(lr) * move, {"m": _average("m", g, state, betas[1])}


def orthogonal(u: Array, turns: int = 5) -> Array:
    """Nearly U Vᵀ for u = U Σ Vᵀ, by Newton and Schulz's iteration (Jordan et al., 2024), with rows not above columns:

    X = u / (‖u‖ + 1e-7), then as often as `turns` A = X Xᵀ, X <- aX + (bA + cA²) X.

    Examples
    --------
    >>> orthogonal(np.diag([3.0, -1.0])).round(1).tolist()
    [[0.8, 0.0], [0.0, -1.1]]
    """
    turned = u.shape[0] > u.shape[1]
    x = u.T if turned else u
    largest = np.abs(x).max(initial=0.0)
    size = largest if largest > 1e100 else 1.0  # whose squares are too large
    x = x / size / (np.linalg.norm(x / size) + 1e-7 / size)
    for _ in range(turns):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return np.asarray(x.T if turned else x)


def muon(
    theta: Array,
    g: Array,
    state: State,
    lr: float = 1e-3,
    muon_lr: float = 0.02,
    momentum: float = 0.95,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[Array, State]:
    """One step of Muon for a matrix of inputs times outputs, one of AdamW for anything else.

    m <- μm + (1-μ)g, θ <- θ(1 - lr' λ) - lr' √max(1, O/I) o with o the `orthogonal` of μm + (1-μ)g.
    """
    if theta.ndim != 2:
        return adamw(theta, g, state, lr, betas, eps, weight_decay)
    m = _average("m", g, state, momentum)
    step = float(muon_lr) * max(1.0, theta.shape[1] / theta.shape[0]) ** 0.5
    kept = theta * (1 - float(muon_lr) * weight_decay)
    return kept - step * orthogonal(momentum * m + (1 - momentum) * g), {"m": m}


def clip_norm(gradients: list[Array], limit: float) -> tuple[list[Array], float]:
    """Shrink all gradients together: g <- g min(1, limit / (norm + 1e-6)), norm = √(Σ over all of them g²).

    Returns the new gradients and the norm before, as torch.nn.utils.clip_grad_norm_ does.

    Examples
    --------
    >>> clipped, norm = clip_norm([np.array([3.0]), np.array([0.0, 4.0])], limit=1.0)
    >>> norm, [g.round(4).tolist() for g in clipped]
    (5.0, [[0.6], [0.0, 0.8]])
    """
    with np.errstate(over="ignore"):
        norm = sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients) ** 0.5
    down = 1.0
    if (
        norm == np.inf
    ):  # the squares of these gradients, and maybe their norm, are too large: those of 2**-600 g are not
        down = 2.0**-600
        norm = sum(float(np.square(g * down, dtype=np.float64).sum()) for g in gradients) ** 0.5
    shrink, norm = float(limit) / (norm + 1e-6 * down), norm / down
    if shrink > 1 / down:  # not where the norm is NaN, which travels
        down = shrink = 1.0
    return [g * down * shrink for g in gradients], norm


def clip_value(gradients: list[Array], limit: float) -> list[Array]:
    """Clip every element: g <- min(max(g, -limit), limit), with limit > 0."""
    return [np.clip(g, -float(limit), float(limit)) for g in gradients]


def _decayed(theta: Array, g: Array, lr: float, weight_decay: float, decoupled: bool) -> tuple[Array, Array]:
    """θ (1 - lr λ) and g, or θ and g + λθ."""
    if weight_decay == 0:
        return theta, g
    if decoupled:
        return theta * (1 - float(lr) * weight_decay), g
    return theta, g + float(weight_decay) * theta


def _average(name: str, new: Array, state: State, beta: float) -> Array:
    """β times the average so far, which is 0 at first, plus (1 - β) times the new value."""
    return np.asarray(beta * state.get(name, 0.0) + (1 - beta) * new)
