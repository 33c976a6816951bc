"""What the ladder asks of an op, for each family of the registry: a point to stand on, kernels, twins.

An op maps `wrt`, the arrays that it is differentiated in, to one output. The twins are `fastbp.reference` in float64,
whatever the kernels' dtype, so that what is compared is the kernels' error alone. `terms`, `pulled_terms` and
`pushed_terms` are the sums of the magnitudes of what makes up each element of the output, the cotangents and the
tangent: errors are measured as parts of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import reference
from fastbp.model.registry import OPS
from tests.kernels import calls
from tests.kernels.harness import Array, Machine

Arrays = tuple[Array, ...]


def exact(*arrays: Array) -> Arrays:
    return tuple(a.astype(np.float64) for a in arrays)


def normal(rng: np.random.Generator, dtype: str, *shape: int) -> Array:
    return rng.normal(size=shape).astype(dtype)


class Climb:
    """One op of one dtype at one shape.

    Attributes
    ----------
    wrt : arrays that the op is differentiated in
    kind : row of the tolerance table
    """

    kind = "value"

    def __init__(self, name: str, dtype: str, rows: int, width: int, seed: int = 0) -> None:
        self.op = OPS[name]
        self.dtype = dtype
        self.rng = np.random.default_rng([seed, rows, width])
        self.wrt = self.point(rows, width)

    def machine(self) -> Machine:
        return Machine(self.dtype)

    def twin(self, part: str) -> Any:
        return getattr(reference, f"{self.op.twin}{part}")

    def direction(self) -> Arrays:
        """A random tangent of `wrt`."""
        return tuple(normal(self.rng, self.dtype, *a.shape) for a in self.wrt)

    def cotangent(self) -> Array:
        """A random cotangent of the output."""
        return normal(self.rng, self.dtype, *self.forward().shape)

    def point(self, rows: int, width: int) -> Arrays:
        raise NotImplementedError

    def forward(self, *wrt: Array) -> Array:
        raise NotImplementedError

    def vjp(self, dy: Array) -> Arrays:
        raise NotImplementedError

    def jvp(self, t: Arrays) -> Array:
        raise NotImplementedError

    def twin_forward(self) -> Array:
        raise NotImplementedError

    def twin_vjp(self, dy: Array) -> Arrays:
        raise NotImplementedError

    def twin_jvp(self, t: Arrays) -> Array:
        raise NotImplementedError

    def terms(self) -> Array:
        raise NotImplementedError

    def pulled_terms(self, dy: Array) -> Arrays:
        raise NotImplementedError

    def pushed_terms(self, t: Arrays) -> Array:
        raise NotImplementedError


class Elementwise(Climb):
    """y = f(z), derivatives from y. An op without kernels hands on what it gets."""

    def point(self, rows: int, width: int) -> Arrays:
        # Both branches of every kink, and far enough from it for a central difference.
        z = 3.0 * self.rng.normal(size=(rows, width))
        return ((z + np.copysign(0.01, z)).astype(self.dtype),)

    def call(self, kernel: str, a: Array, y: Array | None = None) -> Array:
        return calls.elementwise(self.machine(), kernel, a, y).read() if kernel else a

    def forward(self, *wrt: Array) -> Array:
        return self.call(self.op.forward, *(wrt or self.wrt))

    def vjp(self, dy: Array) -> Arrays:
        return (self.call(self.op.vjp, dy, self.forward()),)

    def jvp(self, t: Arrays) -> Array:
        return self.call(self.op.jvp, t[0], self.forward())

    def twin_forward(self) -> Array:
        return np.asarray(self.twin("_forward")(*exact(*self.wrt)))

    def twin_vjp(self, dy: Array) -> Arrays:
        return (self.twin("_vjp")(dy.astype(np.float64), self.twin_forward()),)

    def twin_jvp(self, t: Arrays) -> Array:
        return np.asarray(self.twin("_jvp")(t[0].astype(np.float64), self.twin_forward()))

    def terms(self) -> Array:
        return np.abs(self.twin_forward())

    def pulled_terms(self, dy: Array) -> Arrays:
        return (np.abs(dy),)

    def pushed_terms(self, t: Arrays) -> Array:
        return self.pulled_terms(t[0])[0]


class Noise(Elementwise):
    """Dropout: the product with a mask that is a function of the machine's seed and step."""

    p, seed, step, node = 0.4, 2**40 + 3, 2**33 + 7, 5

    def machine(self) -> Machine:
        return Machine(self.dtype, seed=self.seed, step=self.step)

    def call(self, kernel: str, a: Array, y: Array | None = None) -> Array:
        return calls.dropout(self.machine(), a, self.p, self.node).read()

    def twin_of(self, part: str, a: Array) -> Array:
        mask = reference.dropout_mask(*a.shape, self.p, self.seed, self.step, self.node)
        return np.asarray(self.twin(part)(a.astype(np.float64), mask, self.p))

    def twin_forward(self) -> Array:
        return self.twin_of("_forward", self.wrt[0])

    def twin_vjp(self, dy: Array) -> Arrays:
        return (self.twin_of("_vjp", dy),)

    def twin_jvp(self, t: Arrays) -> Array:
        return self.twin_of("_jvp", t[0])

    def pulled_terms(self, dy: Array) -> Arrays:
        return (np.abs(dy) / (1.0 - self.p),)


class Linear(Climb):
    """z = x W + b in x, W and b; outputs are some other number than inputs."""

    kind = "sum"

    def point(self, rows: int, width: int) -> Arrays:
        outputs = 1 + (7 * rows + width) % 35
        shapes = (rows, width), (width, outputs), (outputs,)
        return tuple(normal(self.rng, self.dtype, *shape) for shape in shapes)

    def forward(self, *wrt: Array) -> Array:
        x, W, b = wrt or self.wrt
        return calls.product(self.machine(), x, W, b).read()

    def vjp(self, dy: Array) -> Arrays:
        x, W, b = self.wrt
        dx = calls.product(self.machine(), dy, np.ascontiguousarray(W.T)).read()
        if not len(x):
            return dx, np.zeros_like(W), np.zeros_like(b)  # there is no weight sweep over no rows
        swept = calls.sweep_weights(self.machine(), x, dy, W, b)
        dW, db = swept.written["gradients"]
        return dx, dW[:, : b.size].copy(), db[: b.size].copy()

    def jvp(self, t: Arrays) -> Array:
        x, W, _ = self.wrt
        tx, tW, tb = t
        return np.asarray(calls.product(self.machine(), tx, W).read() + calls.product(self.machine(), x, tW, tb).read())

    def twin_forward(self) -> Array:
        return np.asarray(reference.linear_forward(*exact(*self.wrt)))

    def twin_vjp(self, dy: Array) -> Arrays:
        x, W, _ = exact(*self.wrt)
        return reference.linear_vjp(dy.astype(np.float64), x, W)

    def twin_jvp(self, t: Arrays) -> Array:
        x, W, _ = exact(*self.wrt)
        tx, tW, tb = exact(*t)
        return np.asarray(reference.linear_jvp(tx, W) + reference.linear_forward(x, tW, tb))

    def terms(self) -> Array:
        return np.asarray(reference.linear_forward(*(np.abs(a) for a in exact(*self.wrt))))

    def pulled_terms(self, dy: Array) -> Arrays:
        x, W, _ = (np.abs(a) for a in exact(*self.wrt))
        return reference.linear_vjp(np.abs(dy).astype(np.float64), x, W)

    def pushed_terms(self, t: Arrays) -> Array:
        x, W, _ = (np.abs(a) for a in exact(*self.wrt))
        tx, tW, tb = (np.abs(a) for a in exact(*t))
        return np.asarray(reference.linear_jvp(tx, W) + reference.linear_forward(x, tW, tb))


class Loss(Climb):
    """The mean of the row losses, as an array of one element; classes or numbers for targets."""

    kind = "sum"

    def point(self, rows: int, width: int) -> Arrays:
        self.labelled = self.op.forward == "cross_entropy"
        classes = self.rng.integers(0, width, rows)
        self.targets = classes if self.labelled else normal(self.rng, self.dtype, rows, width)
        return ((3.0 * self.rng.normal(size=(rows, width))).astype(self.dtype),)

    def call(self, z: Array) -> calls.Loss:
        return calls.loss(self.machine(), self.op.forward, z, self.targets)

    def forward(self, *wrt: Array) -> Array:
        rows = self.call(*(wrt or self.wrt)).rows
        return np.array([rows.astype(np.float64).sum() / max(rows.size, 1)])

    def vjp(self, dy: Array) -> Arrays:
        return (self.call(*self.wrt).dz.read() * dy.astype(self.dtype),)

    def in_twin(self) -> tuple[float, Array]:
        z = self.wrt[0].astype(np.float64)
        return self.twin("")(z, self.targets) if len(z) else (0.0, z)

    def twin_forward(self) -> Array:
        return np.array([self.in_twin()[0]])

    def twin_vjp(self, dy: Array) -> Arrays:
        return (self.in_twin()[1] * dy,)

    def terms(self) -> Array:
        z = np.abs(self.wrt[0])
        if self.labelled:
            return np.array([2.0 * z.max(initial=0.0) + np.log(z.shape[1])])
        return self.twin_forward()

    def pulled_terms(self, dy: Array) -> Arrays:
        z = np.abs(self.wrt[0].astype(np.float64))
        if self.labelled:
            return (np.full(z.shape, 1.0 / max(len(z), 1)) * np.abs(dy),)
        return (2.0 * (z + np.abs(self.targets)) / max(z.size, 1) * np.abs(dy),)


CLIMBS: dict[str, type[Climb]] = {"linear": Linear, "elementwise": Elementwise, "noise": Noise, "loss": Loss}
