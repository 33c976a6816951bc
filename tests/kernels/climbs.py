"""What the ladder asks of an op, for each family of the registry: a point to stand on, kernels, twins.

An op maps `wrt`, the arrays that it is differentiated in, to one output. The twins are `fastbp.reference` in float64,
whatever the kernels' dtype, so that what is compared is the kernels' error alone. `terms`, `pulled_terms` and
`pushed_terms` are the sums of the magnitudes of what makes up each element of the output, the cotangents and the
tangent: errors are measured as parts of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastbp import reference
from fastbp.lowering.registry import OPS
from fastbp.spec.catalogue import LOSSES
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


# Activations with a sum inside, whose terms cancel, and slopes up to 1.8.
SUMS = ("gelu", "gelu_tanh", "silu", "mish", "selu", "elu", "softplus")


class Elementwise(Climb):
    """y = f(z), derivatives from y. An op without kernels hands on what it gets."""

    def point(self, rows: int, width: int) -> Arrays:
        # Both branches of every kink, and far enough from it for a central difference.
        z = 3.0 * self.rng.normal(size=(rows, width))
        return ((z + np.copysign(0.01, z)).astype(self.dtype),)

    # What twins and kernels are told beside their operands.
    settings: ClassVar[dict[str, tuple[float, ...]]] = {
        "leaky_relu": (0.25,),
        "elu": (1.5,),
        "softplus": (0.5,),
        "hardtanh": (-0.75, 2.0),
    }

    def call(self, kernel: str, a: Array, y: Array | None = None) -> Array:
        first, second = (*self.settings.get(self.op.twin, ()), 0.0, 0.0)[:2]
        told = {"setting_1": first, "setting_2": second}
        return calls.elementwise(self.machine(), kernel, a, y, **told).read() if kernel else a

    def of_twin(self, part: str, *operands: Array) -> Array:
        return np.asarray(self.twin(part)(*operands, *self.settings.get(self.op.twin, ())))

    def saved(self) -> Array:
        return self.wrt[0] if self.op.saves == "input" else self.forward()

    def twin_saved(self) -> Array:
        return exact(*self.wrt)[0] if self.op.saves == "input" else self.twin_forward()

    def forward(self, *wrt: Array) -> Array:
        return self.call(self.op.forward, *(wrt or self.wrt))

    def vjp(self, dy: Array) -> Arrays:
        return (self.call(self.op.vjp, dy, self.saved()),)

    def jvp(self, t: Arrays) -> Array:
        return self.call(self.op.jvp, t[0], self.saved())

    def twin_forward(self) -> Array:
        return self.of_twin("_forward", *exact(*self.wrt))

    def twin_vjp(self, dy: Array) -> Arrays:
        return (self.of_twin("_vjp", dy.astype(np.float64), self.twin_saved()),)

    def twin_jvp(self, t: Arrays) -> Array:
        return self.of_twin("_jvp", t[0].astype(np.float64), self.twin_saved())

    def terms(self) -> Array:
        y = np.abs(self.twin_forward())
        return np.maximum(y, np.abs(self.wrt[0])) if self.op.twin in SUMS else y

    def pulled_terms(self, dy: Array) -> Arrays:
        return (np.abs(dy) * (2.0 if self.op.twin in SUMS else 1.0),)

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
        self.labelled = LOSSES[self.op.twin].of_labels
        classes = self.rng.integers(0, width, rows)
        self.targets = classes if self.labelled else normal(self.rng, self.dtype, rows, width)
        if self.op.twin == "binary_cross_entropy":
            self.targets = self.rng.random((rows, width)).astype(self.dtype)
        if self.op.twin == "gaussian_nll":
            width *= 2  # means and log variances
        return ((3.0 * self.rng.normal(size=(rows, width))).astype(self.dtype),)

    def call(self, z: Array) -> calls.Loss:
        return calls.loss(self.machine(), self.op.forward.split()[0], z, self.targets)

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
        if self.op.twin in ("mse", "half_mse"):
            return self.twin_forward()
        return np.array([self.sizes().sum(axis=1).mean() if len(z) else 0.0])

    def sizes(self) -> Array:
        """About the largest number on the way to each element of the loss or of dz."""
        z = np.abs(self.wrt[0].astype(np.float64))
        t = np.abs(self.targets.astype(np.float64))
        if self.op.twin == "gaussian_nll":
            m, s = np.split(z, 2, axis=1)
            e = np.exp(np.minimum(-np.split(self.wrt[0].astype(np.float64), 2, axis=1)[1], 700.0))
            return np.tile((1.0 + s + (1.0 + m + t) ** 2 * e) / t.shape[1], 2)
        with np.errstate(over="ignore"):
            grows = np.exp(self.wrt[0].astype(np.float64)) if self.op.twin == "poisson" else 0.0
        return np.asarray((1.0 + (1.0 + z) * (1.0 + t) + grows) / z.shape[1])

    def pulled_terms(self, dy: Array) -> Arrays:
        z = np.abs(self.wrt[0].astype(np.float64))
        if self.labelled:
            rounded = 4.0 if self.op.twin == "multi_margin" else 1.0  # what the label gets is the sum over its rivals
            return (np.full(z.shape, rounded / max(len(z), 1)) * np.abs(dy),)
        if self.op.twin not in ("mse", "half_mse"):
            return (self.sizes() / max(len(z), 1) * np.abs(dy),)
        return (
            2.0
            * (z.shape[1] if self.op.twin == "half_mse" else 1.0)
            * (z + np.abs(self.targets))
            / max(z.size, 1)
            * np.abs(dy),
        )


CLIMBS: dict[str, type[Climb]] = {
    "linear": Linear,
    "identity": Elementwise,
    "elementwise": Elementwise,
    "noise": Noise,
    "loss": Loss,
}
