"""Bounds on what an update may make: from bounds on what it reads, once a step, so that no number has to be looked at.

With |p| <= P (the running average too), |m| <= M1 .. M3, |g| <= G, η the largest learning rate, and λ the largest
weight decay, g + λ p is at most g' = G + λ P and every optimiser moves p by at most D:

    sgd         D = η g'
    momentum    M = μ M + g'                    D = 2 η M, which is enough for nesterov: η (g + μ m), where m holds g
    adagrad     S = S + g'²                     D = η ratio(1)
    rmsprop     V = α V + (1 - α) g'²           D = η ratio(1 - α)    centered: η g' / ε, since v - mean² may vanish
                                                _momentum: M = μ M + D / η, D = η M
    adam        M = mean of M and g'            D = η (R + T / ε)     or η M / ε; V and its largest as v is averaged
    nadam       as adam                         D = η1 ratio(1 - β2) + η2 (R + T / ε)
    adadelta    V = ρ V + (1 - ρ) g'²           d = ratio(1 - ρ) √(U + ε),  D = η d,  U = ρ U + (1 - ρ) d²
    lion        M = mean of M and g'            D = η

    P ← max(1, η λ) P + D, where max(1, ηλ) >= |1 - ηλ| is for decoupled decay

ratio(part) bounds |g| / (√v + ε) for v >= part g²: it is at most √2 / √part, unless g² is so small that it was
flushed, then √(2 tiny / part) / ε; and always g' / ε.

For means |m| <= R √v + T: with q = β1² / β2 and R² = 4 (1 - β1)² / ((1 - β2)(1 - q)), by Cauchy and Schwarz

    β1 R √v + (1 - β1) |g| <= √(q R² + (1 - β1)² / (1 - β2)) √(β2 v + (1 - β2) g²) = R √((1 + 3 q) / 4) √v'

so that R stays, with room for roundings, and T ← β1 T but for what is flushed. T is 0 where moments begin at 0, and
looked for where they are not known. So D does not grow with λ P, or the bounds would chase each other.

Each bound is made larger than roundings are. A sum of everything that the step computes goes to WORST: if that is
below LIMIT nothing can overflow, neither a result nor what it is computed from. It is NaN or infinite where nothing
is known. A constant ε that is subnormal in these reals is as good as 0, by which nobody may divide: WORST is infinite.
"""

from __future__ import annotations

from math import sqrt

from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.layout import (
    BOUNDS,
    CLIP_VALUE,
    FACTORS,
    GRADIENT,
    MOMENT_1,
    MOMENT_2,
    NEXT_BOUNDS,
    PARAMETER_COUNT,
    RULE,
    SCAN,
    SETTINGS,
    SHADOW,
    SPARE,
    TOP_DECAY,
    TOP_RATE,
    TRIAL_LINES,
    WORD,
    WORKERS,
    WORST,
)
from fastbp.kernels.memory import as_real, bytes_of, call_kernel, get, get_double, get_real, load, put_double, store
from fastbp.kernels.vector import LINE, V, vector_function

# By the name of the kernel. What keeps gradients moves nothing.
NAMES = (
    *("keep_gradients", "sgd", "momentum", "nesterov", "adagrad"),
    *("rmsprop", "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum"),
    *("adam", "adam_amsgrad", "nadam", "radam", "adadelta", "lion"),
)
RULES = {name: number for number, name in enumerate(NAMES)}
SGD, MOMENTUM, NESTEROV, ADAGRAD = (RULES[name] for name in NAMES[1:5])
RMSPROP, RMSPROP_MOMENTUM, RMSPROP_CENTERED, RMSPROP_CENTERED_MOMENTUM = (RULES[name] for name in NAMES[5:9])
NADAM, RADAM, ADADELTA, LION = (RULES[name] for name in NAMES[11:])
OF_MEANS = ("adam", "adam_amsgrad", "nadam", "radam")  # those that keep m and v

WIDER = 1.00001  # more than the roundings of a step add up to
TINY = 1e-37, 1e-307  # above the smallest normal number, of float32 and of float64


@inlined
def averaged(old, new, part):
    """The bound of (1 - part) old + part new, computed as old + part (new - old)."""
    return ((1.0 - part) * old + part * new + 1e-6 * old) * WIDER


@inlined
def squared(old, g, keep, part):
    """The bound of keep old + part g²."""
    return (keep * old + part * g * g) * WIDER


@inlined
def ratio(g, part, eps, tiny):
    """The bound of |g| / (√v + ε) for v >= part g²."""
    return min(g / eps, sqrt(2.0 / part) * (1.0 + sqrt(tiny) / eps)) * WIDER


@inlined
def mean_ratio(head):
    """R, from 1 - β1, β2 and 1 - β2; infinite where means have no such bound."""
    c, d, e = get_double(head, FACTORS + 3), get_double(head, FACTORS + 4), get_double(head, FACTORS + 5)
    q = (1.0 - c) * (1.0 - c) / d if d > 0.0 else (0.0 if c == 1.0 else 1.0)
    return 2.0 * c / sqrt(e * (1.0 - q)) if q < 0.9999 else 1e400


@vector_function
def beyond(m: V, v: V, ratio: V) -> V:
    """What |m| has more than the ratio times √v, at least 0."""
    more = m.abs() - v.sqrt() * ratio
    return more.lt(0.0).select(0.0, more)


@kernel
def rest(head, me, r0, r1, z):
    """The bound T for the moments as they are; only `head` is used."""
    ratio = mean_ratio(head)
    found = 0.0
    if ratio < 1e400:
        r = as_real(0.999 * ratio, z)  # so that what is rounded away is no part of T
        item = bytes_of(z)
        size = get(head, PARAMETER_COUNT) * item
        room = get(get(head, WORKERS), SHADOW)
        for o in range(0, size, TRIAL_LINES * LINE):
            part = min(TRIAL_LINES * LINE, size - o)
            m, v = get(head, MOMENT_1) + o, get(head, MOMENT_2) + o
            for i in range(0, part, LINE):
                store(room + i, beyond(load(m + i, z), load(v + i, z), r))
            call_kernel(get(head, SCAN), room, head + SPARE * WORD, 0, part // item, z)
            top = get_real(head + SPARE * WORD, z)
            if not top <= found:
                found = 1.0 * top  # a float64
    put_double(head, BOUNDS + 4, found * WIDER)


@kernel
def bounds(head, me, r0, r1, z):
    """NEXT_BOUNDS and WORST from BOUNDS, GRADIENT and the factors of the step; only `head` is used."""
    rule = get(head, RULE)
    tiny = TINY[0] if bytes_of(z) == 4 else TINY[1]
    scale = get_double(head, TOP_RATE)
    decay = get_double(head, SETTINGS) * get_double(head, TOP_DECAY)
    decoupled = get_double(head, SETTINGS + 1)
    pulled = abs(get_double(head, FACTORS)) * scale * decay * decoupled
    l2 = decay * (1.0 - decoupled)
    a, b = abs(get_double(head, FACTORS + 1)) * scale, abs(get_double(head, FACTORS + 2)) * scale
    c, d, e = get_double(head, FACTORS + 3), get_double(head, FACTORS + 4), get_double(head, FACTORS + 5)
    f, h = get_double(head, FACTORS + 6), get_double(head, FACTORS + 7)
    p, first = get_double(head, BOUNDS), get_double(head, BOUNDS + 1)
    second, third, left = get_double(head, BOUNDS + 2), get_double(head, BOUNDS + 3), get_double(head, BOUNDS + 4)
    g = get_double(head, GRADIENT)
    if get_double(head, CLIP_VALUE) > 0.0:
        g = min(g, get_double(head, CLIP_VALUE))
    g = (g + l2 * p) * WIDER
    move, eps = 0.0, 1.0
    passing = first + second + third  # and what is computed on the way
    if rule == SGD:
        move = a * g
    elif rule == MOMENTUM or rule == NESTEROV:
        first = (c * first + g) * WIDER
        move = 2.0 * a * first
    elif rule == LION:
        passing += averaged(first, g, c)
        first = averaged(first, g, d)
        move = a
    elif rule == ADAGRAD:
        eps = c
        passing += g * g
        first = squared(first, g, 1.0, 1.0)
        move = a * ratio(g, 1.0, eps, tiny)
    elif rule == ADADELTA:
        eps = e
        passing += g * g
        first = squared(first, g, c, d)
        passing += g * (sqrt(second + eps) + 1.0)
        step = min(g / sqrt(eps), sqrt(2.0 / d) * (1.0 + sqrt(tiny / eps))) * WIDER * sqrt(second + eps)
        passing += step * step
        second = squared(second, step, c, d)
        move = a * step
    elif RMSPROP <= rule <= RMSPROP_CENTERED_MOMENTUM:
        eps = e
        passing += g * g
        first = squared(first, g, c, d)
        quotient = ratio(g, d, eps, tiny)
        if rule >= RMSPROP_CENTERED:
            quotient = g / eps * WIDER
            second = averaged(second, g, d)
            passing += second * second
        if rule == RMSPROP_MOMENTUM:
            second = (f * second + quotient) * WIDER
            quotient = second
        if rule == RMSPROP_CENTERED_MOMENTUM:
            third = (f * third + quotient) * WIDER
            quotient = third
        move = a * quotient
    else:  # adam and its relatives
        eps = h
        passing += g * g
        first = averaged(first, g, c)
        second = squared(second, g, d, e)
        third = max(third, second)
        quotient = first / eps
        limit = mean_ratio(head)
        left = ((1.0 - c + 1e-6) * left + 4.0 * limit * sqrt(tiny)) * WIDER
        passing += left  # NaN of a v below 0, too
        if f > 0.0 and limit < 1e400:  # radam's first steps do without the root
            quotient = min(quotient, limit / f + left / eps)
        move = a * quotient
        if rule == NADAM:
            move = a * ratio(g, e, eps, tiny) + b * quotient
            passing += a * g + b * first
    p_next = (max(1.0, pulled) * p + move) * WIDER
    put_double(head, NEXT_BOUNDS, p_next)
    put_double(head, NEXT_BOUNDS + 1, first)
    put_double(head, NEXT_BOUNDS + 2, second)
    put_double(head, NEXT_BOUNDS + 3, third)
    put_double(head, NEXT_BOUNDS + 4, left)
    worst = p_next + first + second + third + passing + g + l2 + a + b + pulled
    put_double(head, WORST, worst if eps > tiny else 1e400)
