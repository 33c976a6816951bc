"""Every kernel at every tail: the cases behind the tests of buffers, guard pages and vector widths.

`python -m tests.kernels.every_kernel` prints the lanes of this process, a digest of all that the kernels compute and
one of networks that the sweeps have trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastbp.kernels import layout as at
from fastbp.model.registry import OPS
from tests.kernels import calls
from tests.kernels.harness import DEPTHS, DTYPES, SHAPES, SIZES, Array, Machine

# Compiled loops that need a whole plan; the tests of the engine run them.
SWEEPS = ("begin_batch", "begin", "work")
OPTIMIZERS = (
    calls.KEEP,
    calls.Optimizer("sgd", (0.0,)),
    calls.Optimizer("sgd", (0.9,), moments=1),
    calls.Optimizer("adam", (0.9, 0.999, 1e-8, 0.0), moments=2),
    calls.Optimizer("adam", (0.9, 0.999, 1e-8, 0.1), moments=2),
)
SEED, STEP = 2**35 + 1, 2**32 + 3


class Case(NamedTuple):
    """One call: which kernel, at which shape, and what it computes on a machine, padding too."""

    kernel: str
    shape: tuple[int, ...]
    run: Callable[[Machine], list[Array]]


def normal(dtype: str, *shape: int) -> Array:
    """The same numbers in every process."""
    return np.random.default_rng(shape).normal(size=shape).astype(dtype)


def row_cases(dtype: str) -> Iterator[Case]:
    """Kernels that take a block of rows from panels to panels."""
    forward = sorted({op.forward for op in OPS.values() if op.family == "elementwise" and op.forward})
    pulled = sorted({k for op in OPS.values() if op.family == "elementwise" for k in (op.vjp, op.jvp) if k})
    for shape in SHAPES:
        x, y = normal(dtype, *shape), normal(dtype, *shape[::-1]).reshape(shape)
        for kernel in forward:
            yield Case(kernel, shape, lambda m, k=kernel, x=x: [calls.elementwise(m, k, x).lines()])
        for kernel in pulled:
            yield Case(kernel, shape, lambda m, k=kernel, x=x, y=y: [calls.elementwise(m, k, x, y).lines()])
        yield Case("dropout", shape, lambda m, x=x: [calls.dropout(m, x, 0.3, node=4).lines()])


def product_cases(dtype: str) -> Iterator[Case]:
    shapes = [(rows, 1 + (5 * rows + outputs) % 19, outputs) for rows in SIZES for outputs in SIZES]
    shapes += [(rows, depth, 17) for rows in (0, 1, 7, 23) for depth in DEPTHS]
    for number, (rows, inputs, outputs) in enumerate(shapes):
        x, W, b = normal(dtype, rows, inputs), normal(dtype, inputs, outputs), normal(dtype, outputs)
        words = {"b": b} if number % 2 else {}
        words["epilogue"] = (at.EPILOGUE_NONE, at.EPILOGUE_RELU, at.EPILOGUE_RELU_VJP)[number % 3]
        if number % 3 == 2:
            words["y"] = normal(dtype, rows, outputs)
        run = lambda m, x=x, W=W, words=words: [calls.product(m, x, W, **words).lines()]  # noqa: E731
        yield Case("product", (rows, inputs, outputs), run)


def user_cases(dtype: str) -> Iterator[Case]:
    """Kernels that read or write arrays of users."""
    for rows, width in SHAPES:
        x = normal(dtype, rows, width)
        index = np.random.default_rng(rows).permutation(rows)
        for chosen in (None, index):
            run = lambda m, x=x, i=chosen: [calls.gather(m, x, i, len(x)).lines()]  # noqa: E731
            yield Case("gather", (rows, width), run)
        yield Case("scatter", (rows, width), lambda m, x=x: [calls.scatter(m, x)])
        labels = np.random.default_rng(rows).integers(0, width, rows)
        targets = normal(dtype, rows, width, 1)[:, :, 0]
        for kernel, wanted in (("cross_entropy", labels), ("mse", targets)):
            for chosen in (None, index):
                run = lambda m, k=kernel, x=x, t=wanted, i=chosen: whole_loss(calls.loss(m, k, x, t, i))  # noqa: E731
                yield Case(kernel, (rows, width), run)
        yield Case("scan_reals", (rows, width), lambda m, x=x: [np.array([calls.scan_reals(m, x)])])
        yield Case("scan_labels", (rows,), lambda m, t=labels, w=width: [np.array([calls.scan_labels(m, t, w)])])


def whole_loss(loss: calls.Loss) -> list[Array]:
    return [loss.rows, loss.dz.lines()]


def parameter_cases(dtype: str) -> Iterator[Case]:
    """Kernels that work on parameters."""
    for size in (*SIZES, 600):
        p, g, m1 = normal(dtype, size), normal(dtype, size, 1)[:, 0], normal(dtype, 1, size)[0]
        for how in OPTIMIZERS:
            state = [p, m1, m1 * m1][: 1 + how.moments]
            run = lambda m, o=how, s=state, g=g: calls.update(m, o, s, g, step=4)  # noqa: E731
            yield Case(how.kernel, (size,), run)
    shapes = [(1 + (3 * i + o) % 11, i, o) for i in SIZES for o in SIZES]
    shapes += [(rows, 17, 9) for rows in DEPTHS] + [(5, 128, 33)]
    for number, (rows, inputs, outputs) in enumerate(shapes):
        x, dz, W = normal(dtype, rows, inputs), normal(dtype, rows, outputs), normal(dtype, inputs, outputs)
        b = normal(dtype, outputs) if number % 2 else None
        how = OPTIMIZERS[number % 3]
        state = [(np.abs(W), None if b is None else np.abs(b))] * how.moments
        run = lambda m, a=(x, dz, W, b, how, state): whole_sweep(calls.sweep_weights(m, *a))  # noqa: E731
        yield Case("weights", (rows, inputs, outputs), run)
        yield Case("transpose_weights", (inputs, outputs), lambda m, W=W: [calls.transpose(m, W).lines()])


def whole_sweep(swept: calls.Swept) -> list[Array]:
    return [*(a for pair in swept.written.values() for a in pair), swept.transposed.lines()]


def cases(dtype: str) -> Iterator[Case]:
    yield from row_cases(dtype)
    yield from product_cases(dtype)
    yield from user_cases(dtype)
    yield from parameter_cases(dtype)


def digest() -> str:
    """SHA-256 over the bits of every kernel's results, both dtypes."""
    out = hashlib.sha256()
    for dtype in DTYPES:
        for case in cases(dtype):
            for array in case.run(Machine(dtype, seed=SEED, step=STEP)):
                out.update(np.ascontiguousarray(array).tobytes())
    return out.hexdigest()


def trained() -> str:
    """SHA-256 over the parameters and losses of a small classifier and a small regression."""
    import fastbp as fb

    out = hashlib.sha256()
    layers = [
        fb.Linear(33),
        fb.ReLU(),
        fb.Dropout(0.2),
        fb.Linear(17),
        fb.Tanh(),
        fb.Linear(9),
        fb.Sigmoid(),
        fb.Linear(5),
    ]
    for dtype in DTYPES:
        x, t = normal(dtype, 100, 7), normal(dtype, 100, 5)
        for loss, y, optimizer in (
            ("cross_entropy", t.argmax(1), fb.AdamW()),
            ("mse", t, fb.SGD(lr=0.1, momentum=0.9)),
        ):
            net = fb.Network(layers, inputs=7, seed=1, dtype=dtype)
            trainer = fb.Trainer(net, loss=loss, optimizer=optimizer, batch_size=32, threads=1)
            out.update(np.array(trainer.run(x, y, steps=10).loss).tobytes())
            for array in net.parameters.values():
                out.update(array.tobytes())
    return out.hexdigest()


if __name__ == "__main__":
    from fastbp.kernels.tile import LANES

    print(LANES, digest(), trained())
