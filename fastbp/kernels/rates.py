"""What an optimiser prepares once a step: from SETTINGS and the step's number t to FACTORS, which every line shares.

FACTORS hold η of this step, which stands there already, then two learning rates and five constants, as the formulas in
`optimizers.py` name them: a, b, c, d, e, f, h. SETTINGS hold λ, whether it is decoupled, and the optimiser's own.
Powers of whole numbers are squarings and others go through our own exp, so every machine prepares the same bits.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels import functions
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import fill
from fastbp.kernels.records import Head
from fastbp.kernels.vector import V, vector_function

LOG_0_96 = -0.040821994520255166  # of nadam's schedule: 0.96 ** (t ψ)


@vector_function(scalar=True)
def first_exp(x: V) -> V:
    return functions.exp(x)


@inlined
def power(base, exponent):
    """base to a whole power by repeated squaring: the same bits wherever a run is resumed."""
    out = 1.0
    while exponent > 0:
        if exponent & 1:
            out *= base
        base *= base
        exponent >>= 1
    return out


@inlined
def setting(head, number):
    """One of the optimiser's own settings."""
    return head.update.settings[2 + number]


@inlined
def prepare(head, a, b, c, d, e, f, h):
    head.update.factors[1] = a
    head.update.factors[2] = b
    head.update.factors[3] = c
    head.update.factors[4] = d
    head.update.factors[5] = e
    head.update.factors[6] = f
    head.update.factors[7] = h


@kernel(Head, None)
def sgd_factors(head, me, r0, r1, z):
    """a = η. SETTINGS: none."""
    prepare(head, head.update.factors[0], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@kernel(Head, None)
def momentum_factors(head, me, r0, r1, z):
    """a = η, c = μ. SETTINGS: μ."""
    prepare(head, head.update.factors[0], 0.0, setting(head, 0), 0.0, 0.0, 0.0, 0.0)


@kernel(Head, None)
def adagrad_factors(head, me, r0, r1, z):
    """a = η / (1 + (t - 1) δ), c = ε. SETTINGS: ε, δ."""
    slower = 1.0 + head.step.number * setting(head, 1)
    prepare(head, head.update.factors[0] / slower, 0.0, setting(head, 0), 0.0, 0.0, 0.0, 0.0)


@kernel(Head, None)
def rmsprop_factors(head, me, r0, r1, z):
    """a = η, c = α, d = 1 - α, e = ε, f = μ. SETTINGS: α, ε, μ."""
    alpha = setting(head, 0)
    prepare(head, head.update.factors[0], 0.0, alpha, 1.0 - alpha, setting(head, 1), setting(head, 2), 0.0)


@kernel(Head, None)
def adam_factors(head, me, r0, r1, z):
    """a = η / (1 - β1ᵗ), c = 1 - β1, d = β2, e = 1 - β2, f = 1 / √(1 - β2ᵗ), h = ε. SETTINGS: β1, β2, ε."""
    beta_1, beta_2 = setting(head, 0), setting(head, 1)
    t = head.step.number + 1
    root = 1.0 / sqrt(1.0 - power(beta_2, t))
    rate = head.update.factors[0] / (1.0 - power(beta_1, t))
    prepare(head, rate, 0.0, 1.0 - beta_1, beta_2, 1.0 - beta_2, root, setting(head, 2))


@inlined
def nadam_momentum(head, t):
    """μ_t = β1 (1 - ½ 0.96 ** (t ψ))."""
    return setting(head, 0) * (1.0 - 0.5 * first_exp(fill(t * setting(head, 3) * LOG_0_96)))


@kernel(Head, None)
def nadam_factors(head, me, r0, r1, z):
    """a = η (1 - μ_t) / (1 - Π μ), b = η μ_{t+1} / (1 - Π μ μ_{t+1}), the rest as adam's. SETTINGS: β1, β2, ε, ψ.

    Π μ, over the steps up to t, is carried along; a run that was resumed multiplies it up again, in the same order.
    """
    beta_1, beta_2 = setting(head, 0), setting(head, 1)
    t = head.step.number + 1
    product = head.update.running
    done = head.update.running_at
    if done >= t or done == 0:
        product = 1.0
        done = 0
    while done < t:
        done += 1
        product *= nadam_momentum(head, done)
    head.update.running = product
    head.update.running_at = done
    now, following = nadam_momentum(head, t), nadam_momentum(head, t + 1)
    rate = head.update.factors[0]
    root = 1.0 / sqrt(1.0 - power(beta_2, t))
    a = rate * (1.0 - now) / (1.0 - product)
    b = rate * following / (1.0 - product * following)
    prepare(head, a, b, 1.0 - beta_1, beta_2, 1.0 - beta_2, root, setting(head, 2))


@kernel(Head, None)
def radam_factors(head, me, r0, r1, z):
    """With ρ = 2 / (1 - β2) - 1 and ρ_t = ρ - 2 t β2ᵗ / (1 - β2ᵗ): where ρ_t > 5 adam's step times
    r = √((ρ_t - 4)(ρ_t - 2) ρ / ((ρ - 4)(ρ - 2) ρ_t)), before that the step of the mean alone (Liu et al., 2020).

    a = η r √(1 - β2ᵗ) / (1 - β1ᵗ), f = 1, h = ε; or a = η / (1 - β1ᵗ), f = 0, h = 1. SETTINGS: β1, β2, ε.
    """
    beta_1, beta_2 = setting(head, 0), setting(head, 1)
    t = head.step.number + 1
    left = power(beta_2, t)
    limit = 2.0 / (1.0 - beta_2) - 1.0
    length = limit - 2.0 * t * left / (1.0 - left)
    rate = head.update.factors[0] / (1.0 - power(beta_1, t))
    root, added = 0.0, 1.0
    if length > 5.0:
        top = (length - 4.0) * (length - 2.0) * limit
        rate *= sqrt(top / ((limit - 4.0) * (limit - 2.0) * length)) * sqrt(1.0 - left)
        root, added = 1.0, setting(head, 2)
    prepare(head, rate, 0.0, 1.0 - beta_1, beta_2, 1.0 - beta_2, root, added)


@kernel(Head, None)
def adadelta_factors(head, me, r0, r1, z):
    """a = η, c = ρ, d = 1 - ρ, e = ε. SETTINGS: ρ, ε."""
    rho = setting(head, 0)
    prepare(head, head.update.factors[0], 0.0, rho, 1.0 - rho, setting(head, 1), 0.0, 0.0)


@kernel(Head, None)
def lion_factors(head, me, r0, r1, z):
    """a = η, c = 1 - β1, d = 1 - β2. SETTINGS: β1, β2."""
    prepare(head, head.update.factors[0], 0.0, 1.0 - setting(head, 0), 1.0 - setting(head, 1), 0.0, 0.0, 0.0)


@kernel(Head, None)
def keep_gradients_factors(head, me, r0, r1, z):
    """Nothing to prepare."""
