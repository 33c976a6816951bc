"""Every kernel at every tail: the cases behind the tests of buffers, guard pages and vector widths.

`python -m tests.kernels.every_kernel` prints the lanes of this process, a digest of all that the kernels compute and
one of networks that the sweeps have trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

import fastbp as fb
from fastbp.kernels.ops import EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP
from fastbp.lowering.registry import OPS
from fastbp.spec.catalogue import ACTIVATIONS, LOSSES
from fastbp.train import self_test
from fastbp.train.catalogue import OPTIMIZERS as KINDS
from tests.kernels import branch_calls, calls, coded_calls, gate_calls, layer_calls, sweep_calls, turn_calls
from tests.kernels.harness import DEPTHS, DTYPES, SHAPES, SIZES, Array, Machine

SOME = (
    fb.SGD(),
    fb.SGD(momentum=0.9),
    fb.Adam(),
    fb.AdamW(weight_decay=0.1),
    fb.SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    fb.Adam(amsgrad=True, weight_decay=0.1),
    fb.Adagrad(),
    fb.RMSprop(),
    fb.RMSprop(momentum=0.9),
    fb.RMSprop(centered=True, eps=1e-2),
    fb.RMSprop(centered=True, momentum=0.9, eps=1e-2),
    fb.NAdam(),
    fb.RAdam(),
    fb.Adadelta(),
    fb.Lion(),
    fb.Muon(weight_decay=0.1),
)
OTHERS = tuple(made() for made in KINDS.values() if made not in map(type, SOME))
OPTIMIZERS = (calls.KEEP, *map(calls.optimizer_of, (*SOME, *OTHERS)))
# Losses against one number for each output.
BY_NUMBER = (*(kind for kind, loss in LOSSES.items() if not loss.of_labels and loss.outputs_per_target == 1), "dot")
SEED, STEP = 2**35 + 1, 2**32 + 3
TWO = {"setting_1": 0.25, "setting_2": 1.5}  # of a layer


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
            yield Case(kernel, shape, lambda m, k=kernel, x=x: [calls.elementwise(m, k, x, **TWO).lines()])
        for kernel in pulled:
            yield Case(kernel, shape, lambda m, k=kernel, x=x, y=y: [calls.elementwise(m, k, x, y, **TWO).lines()])
        yield Case(
            "multiply_forward", shape, lambda m, x=x: [calls.elementwise(m, "multiply_forward", x, **TWO).lines()]
        )
        yield Case("multiply_vjp", shape, lambda m, x=x: [calls.elementwise(m, "multiply_vjp", x, x, **TWO).lines()])
        yield Case("dropout", shape, lambda m, x=x: [calls.dropout(m, x, 0.3, node=4).lines()])


def product_cases(dtype: str) -> Iterator[Case]:
    shapes = [(rows, 1 + (5 * rows + outputs) % 19, outputs) for rows in SIZES for outputs in SIZES]
    shapes += [(rows, depth, 17) for rows in (0, 1, 7, 23) for depth in DEPTHS]
    for number, (rows, inputs, outputs) in enumerate(shapes):
        x, W, b = normal(dtype, rows, inputs), normal(dtype, inputs, outputs), normal(dtype, outputs)
        words = {"b": b} if number % 2 else {}
        words["epilogue"] = (EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP)[number % 3]
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
        pairs = [("cross_entropy", labels), ("multi_margin", labels), *((kernel, targets) for kernel in BY_NUMBER)]
        for kernel, wanted in [*pairs, ("gaussian_nll", targets)]:
            scores = np.hstack([x, x[:, ::-1]]) if kernel == "gaussian_nll" else x
            for chosen in (None, index):
                run = lambda m, k=kernel, x=scores, t=wanted, i=chosen: whole_loss(calls.loss(m, k, x, t, i))  # noqa: E731
                yield Case(kernel, (rows, width), run)
        yield Case("scan_reals", (rows, width), lambda m, x=x: [np.array([calls.scan_reals(m, x)])])
        yield Case("scan_labels", (rows,), lambda m, t=labels, w=width: [np.array([calls.scan_labels(m, t, w)])])


def gate_cases(dtype: str) -> Iterator[Case]:
    """Kernels between branches, of whole Jacobians and of several losses."""
    for rows, width in SHAPES:
        shape, x = (rows, width), normal(dtype, rows, width)
        y = normal(dtype, width, rows).T + 3.0
        for kernel in branch_calls.PAIRS:
            yield Case(kernel, shape, lambda m, k=kernel, x=x, y=y: [calls.elementwise(m, k, x, y).lines()])
        for kernel in branch_calls.ALONE:
            yield Case(kernel, shape, lambda m, k=kernel, x=y: [calls.elementwise(m, k, x, **TWO).lines()])
        for kernel in branch_calls.WAVES:
            for sloped in (False, True):
                run = lambda m, k=kernel, x=x, s=sloped: branch_calls.wave(m, k, x, 0.3, s)  # noqa: E731
                yield Case(kernel, shape, run)
        for first, to, count, wide in ((0, 0, width, width), (0, 5, width, width + 9), (width // 2, 0, 1, 1)):
            for closes in (False, True):
                cut = first, to, count, wide, 0, None, closes
                run = lambda m, x=x, cut=cut: [branch_calls.copy(m, x, *cut).lines()]  # noqa: E731
                yield Case("branch_copy", shape, run)
        yield Case("branch_clear", shape, lambda m, s=shape: [branch_calls.clear(m, *s).lines()])
        yield Case("branch_row_sum", shape, lambda m, x=x: [branch_calls.row_sum(m, x, 0.3).lines()])
        run = lambda m, x=x, w=width: [branch_calls.repeat(m, x[:, :1], w, 0.3).lines()]  # noqa: E731
        yield Case("branch_repeat", shape, run)
        for count in (1, 3):
            run = lambda m, x=x, n=count: [branch_calls.gather_repeated(m, x, n, n * len(x)).lines()]  # noqa: E731
            yield Case("gather_repeated", shape, run)
        for column in (-1, width - 1):
            run = lambda m, s=shape, c=column: [branch_calls.unit_rows(m, *s, c).lines()]  # noqa: E731
            yield Case("unit_rows", shape, run)
        for count in {1, max(rows, 1)}:
            run = lambda m, x=x, n=count: [branch_calls.scatter_columns(m, x, n)]  # noqa: E731
            yield Case("scatter_columns", shape, run)
        for index, last in ((0, False), (1, False), (2, True)):
            run = lambda m, x=x, i=index, l=last: [*branch_calls.join_losses(m, x[:, 0], x[:, -1], 0.3, i, l)]  # noqa: E731
            yield Case("join_losses", shape, run)


def whole_loss(loss: calls.Loss) -> list[Array]:
    return [loss.rows, loss.dz.lines()]


def parameter_cases(dtype: str) -> Iterator[Case]:
    """Kernels that work on parameters."""
    for size in (*SIZES, 600):
        p, g, m1 = normal(dtype, size), normal(dtype, size, 1)[:, 0], normal(dtype, 1, size)[0]
        for how in OPTIMIZERS:
            state = [p, m1 * m1, m1 * m1, m1 * m1][: 1 + how.moments]
            run = lambda m, o=how, s=state, g=g: calls.update(m, o, s, g, step=4)  # noqa: E731
            yield Case(how.kernel, (size,), run)
    shapes = [(1 + (3 * i + o) % 11, i, o) for i in SIZES for o in SIZES]
    shapes += [(rows, 17, 9) for rows in DEPTHS] + [(5, 128, 33)]
    for number, (rows, inputs, outputs) in enumerate(shapes):
        x, dz, W = normal(dtype, rows, inputs), normal(dtype, rows, outputs), normal(dtype, inputs, outputs)
        b = normal(dtype, outputs) if number % 2 else None
        how = OPTIMIZERS[number % len(OPTIMIZERS)]
        state = [(np.abs(W), None if b is None else np.abs(b))] * how.moments
        run = lambda m, a=(x, dz, W, b, how, state): whole_sweep(calls.sweep_weights(m, *a))  # noqa: E731
        yield Case("weights", (rows, inputs, outputs), run)
        yield Case("transpose_weights", (inputs, outputs), lambda m, W=W: [calls.transpose(m, W).lines()])
    for rows, width in ((1, 1), (16, 33), (17, 600), (70, 257), *zip(SIZES, (*SIZES[2:], 40, 47), strict=True)):
        W = normal(dtype, rows, width)
        yield Case("orthonormalise", (rows, width), lambda m, W=W: [calls.orthonormalise(m, W)])


def whole_sweep(swept: calls.Swept) -> list[Array]:
    return [*(a for pair in swept.written.values() for a in pair), swept.transposed.lines()]


def cases(dtype: str) -> Iterator[Case]:
    yield from row_cases(dtype)
    yield from product_cases(dtype)
    yield from user_cases(dtype)
    yield from gate_cases(dtype)
    yield from parameter_cases(dtype)
    for found in (
        gate_calls.cases(dtype, normal),
        layer_calls.cases(dtype, normal),
        sweep_calls.cases(dtype, normal, OPTIMIZERS),
        coded_calls.cases(dtype, normal, OPTIMIZERS),
        turn_calls.cases(dtype, normal),
    ):
        yield from (Case(*case) for case in found)


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
        out.update(of_all_layers(dtype))
    return out.hexdigest()


def of_all_layers(dtype: str) -> bytes:
    """SHA-256 over networks of all kinds of layers, with gradients that wait and not."""
    out = hashlib.sha256()
    x, t = normal(dtype, 70, 7), normal(dtype, 70, 6)
    x[:, 2] = np.arange(70) % 4
    p = np.exp(t) / np.exp(t).sum(1, keepdims=True)
    body = [
        fb.Embedding({2: (4, 3)}),
        fb.PiecewiseLinear({0: [-1.0, 0.0, 0.5], 4: np.arange(-9.0, 10.0) / 8.0}),
        fb.PiecewiseLinearEmbedding({2: [-1.0, 0.0, 0.5], 3: np.arange(-9.0, 10.0) / 8.0}, 5),
        fb.PeriodicEmbedding([4], frequencies=17, features=3, sigma=1.0),
        fb.PBLD([3, 0], frequencies=17),
        fb.CosineEmbedding([1], frequencies=5),
        fb.Linear(33, ntk=True),
        fb.BatchNorm(),
        fb.PReLU(),
        fb.Linear(20),
        fb.LayerNorm(),
    ]
    body += [fb.GELU(), fb.Linear(19), fb.RMSNorm(), fb.PReLU(per_feature=True), fb.Scale(), fb.BatchNorm(affine=False)]
    smooth = fb.CrossEntropy(label_smoothing=0.1, class_weights=[1, 2, 3, 4, 5, 6])
    for tail, loss, y in (
        ([fb.Linear(6)], smooth, t.argmax(1)),
        ([fb.Linear(6), fb.LogSoftmax()], fb.CrossEntropy(), p),
        ([fb.Linear(6), fb.Softmax()], fb.MSE(reduction="sum"), p),
    ):
        for words in ({}, {"clip_norm": 0.1, "accumulate": 2, "ema": 0.9}, {"clip_value": 1e-3, "frozen": ["4"]}):
            net = fb.Network([*body, *tail], inputs=7, seed=1, dtype=dtype)
            trainer = fb.Trainer(net, loss=loss, optimizer=fb.AdamW(), batch_size=32, threads=1, **words)
            out.update(np.array(trainer.run(x, y, steps=6, sample_weight=np.arange(1.0, 71.0)).loss).tobytes())
            for array in (net.flat, net.states.flat(), net.vjp(x, t), net.jvp(x, x), net.predict(x)):
                out.update(array.tobytes())
            if "ema" in words:
                out.update(trainer.averaged.flat.tobytes())
    return out.digest()


def extremes() -> str:
    """SHA-256 over gates of traced functions and activations at numbers that are flushed, or next to those, or huge."""
    out = hashlib.sha256()
    for dtype in DTYPES:
        info = np.finfo(dtype)
        tiny = np.array(
            [info.tiny, info.tiny / 2, info.smallest_subnormal, np.nextafter(info.tiny, info.dtype.type(1))]
        )
        some = np.array([0.0, 1.0, 1.5, 1e-4, info.max, info.max / 2, np.inf, np.nan])
        x = np.concatenate([tiny, -tiny, some, -some]).astype(dtype)
        given = [np.repeat(x, len(x)), np.tile(x, len(x))]
        for function, count in self_test.gates().values():
            if function(*given[:count]).shape == given[0].shape:
                out.update(plain(fb.trace(function, dtype=dtype)(*given[:count])))
        for name, made in ACTIVATIONS.items():
            if name != "custom":
                out.update(plain(fb.Network([made()], inputs=len(x), dtype=dtype).predict(np.clip(x, -1e9, 1e9)[None])))
    return out.hexdigest()


def plain(found: Array) -> bytes:
    """The bits of an array in which every NaN is the same one: its sign is the processor's choice."""
    return np.where(np.isnan(found), np.array(np.nan, found.dtype), found).tobytes()


if __name__ == "__main__":
    from fastbp.kernels.tile import LANES

    with np.errstate(all="ignore"):
        print(LANES, digest(), trained(), extremes())
