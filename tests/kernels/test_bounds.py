"""What an update makes is never beyond its bounds, whatever parameters, moments, gradients and settings there are."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.engine.compiler import kernel_address
from fastbp.kernels.fields import LINE
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import TRIAL_LINES
from fastbp.train.catalogue import OPTIMIZERS as KINDS
from tests.kernels import calls
from tests.kernels.every_kernel import OPTIMIZERS
from tests.kernels.harness import DTYPES, Machine

SIZE = 300  # more than one piece of what `rest` looks at, in float64
ROUNDS = 16
LIMIT = {"float32": 1e37, "float64": 1e300}
# The exponents of magnitudes: nearly all that there are.
SPAN = {"float32": 36.0, "float64": 300.0}
KERNELS = [name for name in RULES if name != "keep_gradients"]

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def settings(kernel, rng):
    """An optimiser with random numbers of its own, and random weight decay of either kind."""
    beta, other = (float(rng.choice([0.0, 0.5, 0.9, 0.99, 0.9999])) for _ in range(2))
    eps = float(10.0 ** rng.uniform(-12, 1))
    decay = {"weight_decay": float(rng.choice([0.0, 1e-2, 1e3])), "decoupled": bool(rng.random() < 0.5)}
    rate = float(10.0 ** rng.uniform(-6, 3))
    momentum = max(beta, 0.5)
    made = {
        "sgd": lambda: fb.SGD(rate, **decay),
        "momentum": lambda: fb.SGD(rate, momentum, **decay),
        "nesterov": lambda: fb.SGD(rate, momentum, True, **decay),
        "adagrad": lambda: fb.Adagrad(rate, eps=eps, **decay),
        "rmsprop": lambda: fb.RMSprop(rate, beta, eps, **decay),
        "rmsprop_momentum": lambda: fb.RMSprop(rate, beta, eps, momentum, **decay),
        "rmsprop_centered": lambda: fb.RMSprop(rate, beta, eps, centered=True, **decay),
        "rmsprop_centered_momentum": lambda: fb.RMSprop(rate, beta, eps, momentum, True, **decay),
        "adam": lambda: fb.Adam(rate, (beta, other), eps, **decay),
        "adam_amsgrad": lambda: fb.Adam(rate, (beta, other), eps, amsgrad=True, **decay),
        "nadam": lambda: fb.NAdam(rate, (beta, other), eps, **decay),
        "radam": lambda: fb.RAdam(rate, (beta, other), eps, **decay),
        "adadelta": lambda: fb.Adadelta(rate, other, eps, **decay),
        "lion": lambda: fb.Lion(rate, (beta, other), weight_decay=decay["weight_decay"]),
    }.get(kernel, lambda: KINDS[kernel](rate))()
    assert made.kernel == kernel
    return made


class Guarded:
    """Parameters and moments of one optimiser, and the bounds that go with them."""

    def __init__(self, dtype, made, p, moments):
        self.how, self.rate = calls.optimizer_of(made), made.lr
        self.m = m = Machine(dtype)
        names = calls.STATE[: 1 + self.how.moments]
        self.blocks = [m.line_numbers(name, a) for name, a in zip(names, [p, *moments], strict=True)]
        self.update = m.head.update
        for name, block in zip(names, self.blocks, strict=True):
            setattr(self.update.blocks, name, block.address)
        self.update.count = self.blocks[0].content.size
        self.update.top_rate = self.update.top_decay = 1.0
        m.head.data.scan = kernel_address("scan_reals", m.real)
        m.worker.shadow = m.memory.lines(TRIAL_LINES)

    def prepare(self, step):
        self.how.prepare(self.m, self.rate, step)

    def state(self):
        return [block.numbers() for block in self.blocks]

    def renew(self):
        """Take the bounds from what is there."""
        found = [float(np.abs(a).max()) for a in self.state()]
        self.update.now.each = 0.0
        self.update.now.each[: len(found)] = found
        if RULES[self.how.kernel].of_means:
            self.m.call("rest", self.m.head, 0, 0)

    def step(self, g):
        """Take the bounds of the step, then the step; returns whether it is certain to be finite."""
        m = self.m
        self.update.gradient = np.abs(g).max()
        m.call(RULES[self.how.kernel].bounds, m.head, 0, 0)
        m.worker.gradients = m.line_numbers("g", g).address
        lines = self.blocks[0].content.size * m.dtype.itemsize // LINE
        for block in self.blocks:
            m.writes(block, 0, lines * m.in_line, over=True)
        m.call(self.how.kernel, m.head, 0, lines)
        return self.update.worst < LIMIT[m.real]

    def holds(self):
        """Every number is within the bounds that follow."""
        tops = [float(np.abs(a).max()) for a in self.state()]
        return all(top <= bound for top, bound in zip(tops, self.update.following.each, strict=False))


def numbers(rng, dtype, span):
    """Signs and magnitudes over many powers of ten, with zeros."""
    return (rng.normal(size=SIZE) * 10.0 ** rng.uniform(-span, span, SIZE) * (rng.random(SIZE) < 0.9)).astype(dtype)


def guarded(kernel, dtype, rng, span):
    made = settings(kernel, rng)
    moments = [numbers(rng, dtype, span * rng.random()) for _ in range(made.moments)]
    for i in made.squares:
        moments[i] = np.abs(moments[i])
    return Guarded(dtype, made, numbers(rng, dtype, span * rng.random()), moments)


@every_kernel
@every_dtype
def test_one_step_from_anywhere_stays_within_its_bounds(dtype, kernel):
    rng = np.random.default_rng(KERNELS.index(kernel))
    certain = 0
    for number in range(3 * ROUNDS):
        span = SPAN[dtype] * (number % 3 + 1) / 3
        state = guarded(kernel, dtype, rng, span)
        state.prepare(int(rng.integers(0, 1000)))
        state.renew()
        if state.step(numbers(rng, dtype, span * rng.random())):
            certain += 1
            assert all(np.isfinite(a).all() for a in state.state())
            assert state.holds()
    assert certain > 5


@every_kernel
@every_dtype
def test_bounds_that_are_carried_on_hold_for_every_step(dtype, kernel):
    rng = np.random.default_rng(100 + KERNELS.index(kernel))
    for _ in range(ROUNDS // 2):
        made = settings(kernel, rng)
        state = Guarded(dtype, made, numbers(rng, dtype, 2), [np.zeros(SIZE)] * made.moments)
        state.prepare(0)
        state.renew()
        size = SPAN[dtype] / 3 * rng.random()
        for step in range(25):
            state.prepare(step)
            if not state.step(numbers(rng, dtype, size) * np.float64(10.0 ** -rng.integers(0, 20)).astype(dtype)):
                break
            assert state.holds()
            state.update.now = state.update.following


@every_kernel
@every_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_certain_where_a_bound_is_not_known(dtype, kernel, bad):
    rng = np.random.default_rng(1)
    one = np.ones(SIZE, dtype)
    for known in ("parameters", "gradient"):
        made = settings(kernel, rng)
        state = Guarded(dtype, made, one, [one] * made.moments)
        state.prepare(3)
        state.renew()
        state.update.gradient = 1.0
        setattr(state.update if known == "gradient" else state.update.now, known, bad)
        state.m.call(RULES[kernel].bounds, state.m.head, 0, 0)
        assert not state.update.worst < LIMIT[dtype]


@every_dtype
def test_a_constant_that_is_0_in_these_reals_is_certain_of_nothing(dtype):
    eps = {"float32": 1e-40, "float64": 5e-310}[dtype]
    state = Guarded(dtype, fb.Adam(eps=eps), np.ones(SIZE, dtype), [np.zeros(SIZE)] * 2)
    state.prepare(0)
    state.renew()
    assert not state.step(np.zeros(SIZE, dtype))


def test_every_kernel_that_updates_has_a_rule():
    assert {how.kernel for how in OPTIMIZERS} == set(RULES)


@every_dtype
def test_a_bound_that_is_too_small_is_found(dtype):
    state = Guarded(dtype, fb.SGD(1.0), np.ones(SIZE, dtype), [])
    state.prepare(0)
    state.renew()
    state.step(np.full(SIZE, -1.0, dtype))
    assert state.holds()
    state.update.following.parameters = 1.999
    assert not state.holds()
