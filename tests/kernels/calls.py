"""One function a kernel: natural arrays in, a `Machine` between, results out.

Each takes the machine first. `r0` and `r1` are the rows to do where a kernel works on a block; all by default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.engine.compiler import kernel_address
from fastbp.kernels.fields import LINE
from fastbp.kernels.ops import EPILOGUE_NONE
from fastbp.kernels.optimizers import RULES
from fastbp.kernels.records import LOOKING, Learned, Matrix, Trained
from fastbp.lowering.registry import OPS
from fastbp.spec.catalogue import loss_of
from fastbp.spec.losses import Dot
from tests.kernels.harness import Array, Machine, Panels


def elementwise(
    m: Machine,
    kernel: str,
    a: Array,
    y: Array | None = None,
    r0: int = 0,
    r1: int | None = None,
    over: bool = False,
    **values: Any,
) -> Panels:
    """An activation's kernel: C = f(A) or f(A, Y); with `over` C is A."""
    source = m.given("a", a)
    if y is not None:
        values["y"] = m.given("y", y)
    target = source if over else m.panels("c", *a.shape)
    m.op(kernel, source, target, r0, len(a) if r1 is None else r1, **values)
    return target


def dropout(
    m: Machine,
    x: Array,
    p: float,
    node: int = 0,
    r0: int = 0,
    r1: int | None = None,
    shift: int = 0,
    first_panel: int = 0,
    over: bool = False,
) -> Panels:
    """x times its mask and 1 / (1 - p); the machine's head holds seed and step, the first panel is a layer's own."""
    source = m.given("a", x)
    target = source if over else m.panels("c", *x.shape)
    m.worker.shift = shift
    m.head.step.draw = m.head.step.number
    values = {"chance": round(p * 2**32), "scale": 1.0 / (1.0 - p), "node": node, "first_panel": first_panel}
    m.op("dropout", source, target, r0, len(x) if r1 is None else r1, **values)
    return target


def product(
    m: Machine,
    x: Array,
    W: Array,
    b: Array | None = None,
    y: Array | None = None,
    epilogue: int = EPILOGUE_NONE,
    r0: int = 0,
    r1: int | None = None,
) -> Panels:
    """C = epilogue(b + x W); what pads x is NaN, because a product reads no more terms than there are."""
    source, weights = m.given("a", x, padding=np.nan), m.given("b", W)
    values: dict[str, Any] = {"b": weights, "epilogue": epilogue}
    if b is not None:
        values["bias"] = m.line_numbers("bias", b).address
    if y is not None:
        values["y"] = m.given("y", y)
    target = m.panels("c", len(x), W.shape[1])
    m.op("product", source, target, r0, len(x) if r1 is None else r1, **values)
    return target


def point(m: Machine, index: Array | None, shift: int) -> None:
    """Say which of the user's rows the buffers' rows are."""
    m.worker.shift = shift
    if index is not None:
        m.head.data.index = m.user("index", index.astype(np.uint32)).address


def rows_at(address: int, array: Array) -> Matrix:
    """Where a user's rows stand, those of an array like this one."""
    return Matrix(start=address, stride=array.shape[1] * array.itemsize)


def gather(m: Machine, X: Array, index: Array | None, rows: int, shift: int = 0) -> Panels:
    """C[r] = X[index[r + shift]], or X[r + shift] without an index."""
    source, target = m.user("X", X), m.panels("c", rows, X.shape[1])
    point(m, index, shift)
    m.writes(target, 0, rows)
    m.run("gather", 0, rows, a=rows_at(source.address, X), c=target, width=X.shape[1])
    return target


def scatter(m: Machine, x: Array, shift: int = 0) -> Array:
    """Y[r + shift] = A[r]; returns Y, whose first `shift` rows stay poison."""
    rows, width = x.shape
    source = m.given("a", x)
    target = m.user_output("Y", (rows + shift) * width)
    target.must[: shift * width] = target.may[: shift * width] = False
    m.worker.shift = shift
    m.run("scatter", 0, rows, a=source, c=rows_at(target.address, x), width=width)
    return target.numbers().reshape(-1, width)


@dataclass
class Loss:
    """What a loss wrote: one number a row, and dz."""

    rows: Array
    dz: Panels


def loss(
    m: Machine,
    kernel: str,
    z: Array,
    targets: Array,
    index: Array | None = None,
    r0: int = 0,
    r1: int | None = None,
    shift: int = 0,
    batch: int | None = None,
    spec: Any = None,
) -> Loss:
    """Row losses and their cotangents; `batch` is the number of rows that the mean is over, all by default.

    `spec` is the loss as a user says it, by default the one that has this kernel.
    """
    rows = len(z)
    r1 = rows if r1 is None else r1
    source, wanted, target = m.given("a", z), m.user("targets", targets), m.panels("c", *z.shape)
    point(m, index, shift)
    # One number a row: those of the block must be written, and the rest of their last line may be.
    lines = -(-rows // m.in_line)
    row_loss, sums = (
        m.whole(name, m.memory.lines(lines), lines * m.in_line, output=True) for name in ("row loss", "sums")
    )
    for buffer in (row_loss, sums):
        buffer.must[:] = buffer.may[:] = False
        buffer.may[r0 : r0 + -(-(r1 - r0) // m.in_line) * m.in_line] = True
    row_loss.must[r0:r1] = True
    m.head.step.row_loss, m.head.step.scale = row_loss.address, 1.0 / max(batch or rows, 1)
    given = Matrix(start=wanted.address, stride=targets.strides[0] if targets.size else 0)
    named = [name for name, op in OPS.items() if op.family == "loss" and kernel in op.forward.split()]
    spec = spec or (Dot() if kernel == "dot" else loss_of(named[0]))
    numbers = [np.broadcast_to(np.asarray(a, m.dtype), z.shape[1]) for a in spec.lines(z.shape[1])]
    gain, shifts = (m.line_numbers(name, a).address for name, a in zip(("gain", "shifts"), numbers, strict=True))
    first, second = spec.constants(z.shape[1])
    values = {"gain": gain, "shifts": shifts, "setting_1": first, "setting_2": second, "sums": sums.address}
    m.op(kernel, source, target, r0, r1, targets=given, **values)
    return Loss(row_loss.numbers()[r0:r1], target)


@dataclass(frozen=True)
class Optimizer:
    """A kernel that updates, the numbers it was made with, and how many it keeps for each parameter."""

    kernel: str
    settings: dict[str, float] = field(default_factory=dict)
    moments: int = 0

    def __str__(self) -> str:
        return "-".join([self.kernel, *(f"{value:g}" for value in self.settings.values())])

    def prepare(self, m: Machine, lr: float, step: int) -> None:
        """Set the head as `begin_batch` does before each step."""
        m.head.step.number, m.head.step.group_part = step, 1.0
        m.head.update.factors[0] = lr
        RULES[self.kernel].settings(m.head.update.settings.view(np.int64), **self.settings)
        m.worker.rate = m.worker.decay = 1.0
        m.call(RULES[self.kernel].prepare, m.head, 0, 0)


def optimizer_of(made: Any) -> Optimizer:
    """What a user's optimiser makes the kernels do."""
    return Optimizer(made.kernel, made.numbers(), made.moments)


KEEP = Optimizer("keep_gradients")
STATE = ("parameters", "moment_1", "moment_2", "moment_3")


def update(
    m: Machine, optimizer: Optimizer, state: list[Array], g: Array, lr: float = 0.1, step: int = 0
) -> list[Array]:
    """One step on whole lines of parameters and moments, which begin some lines into their block."""
    offset = 2 * LINE
    buffers = [m.line_numbers(name, values) for name, values in zip(STATE, state, strict=False)]
    optimizer.prepare(m, lr, step)
    for name, buffer in zip(STATE, buffers, strict=False):
        setattr(m.head.update.blocks, name, buffer.address - offset)
    lines = -(-g.size // m.in_line)
    if optimizer is KEEP:
        buffers = [m.whole("gradients", m.memory.lines(lines), lines * m.in_line, output=True)]
        m.head.update.gradients = buffers[0].address - offset
    for buffer in buffers:
        m.writes(buffer, 0, lines * m.in_line, over=optimizer is not KEEP)
    m.worker.gradients = m.line_numbers("g", g).address
    m.call(optimizer.kernel, m.head, offset, lines)
    return [buffer.numbers() for buffer in buffers]


@dataclass(frozen=True)
class Layer:
    """Where the parameters of one layer stand: panels of P lines and more, then a line of biases for each panel."""

    inputs: int
    outputs: int
    in_line: int
    biased: bool

    @property
    def panels(self) -> int:
        return -(-self.outputs // self.in_line)

    @property
    def lines(self) -> int:
        """Of a panel: the inputs, rounded up to whole P x P blocks."""
        return -(-self.inputs // self.in_line) * self.in_line

    def flat(self, W: Array, b: Array | None) -> Array:
        """Parameters, or anything that is as many, in their places; zeros elsewhere."""
        padded = np.zeros((self.lines + 1, self.panels * self.in_line), W.dtype)
        padded[: W.shape[0], : W.shape[1]] = W
        weights = padded[:-1].reshape(self.lines, self.panels, self.in_line).transpose(1, 0, 2)
        if b is None:
            return weights.ravel()
        padded[-1, : b.size] = b
        return np.concatenate([weights.ravel(), padded[-1]])

    def written(self) -> Array:
        """What a weight sweep writes: the lines of inputs there are, and all biases."""
        columns = self.panels * self.in_line
        return self.flat(np.ones((self.inputs, columns), bool), np.ones(columns, bool) if self.biased else None)

    def natural(self, flat: Array) -> tuple[Array, Array]:
        """(inputs, columns) of weights and (columns,) of biases, padding columns too."""
        split = self.panels * self.lines * self.in_line
        weights = flat[:split].reshape(self.panels, self.lines, self.in_line).transpose(1, 0, 2)
        return weights.reshape(self.lines, -1)[: self.inputs].copy(), flat[split:].copy()


@dataclass
class Swept:
    """What a weight sweep left: state or gradients by name, (weights, biases) with padding columns; Wᵀ where kept."""

    written: dict[str, tuple[Array, Array]]
    transposed: Panels | None


Tile = tuple[int, int, int, int]


def sweep_weights(
    m: Machine,
    x: Array,
    dz: Array,
    W: Array,
    b: Array | None = None,
    optimizer: Optimizer = KEEP,
    state: list[tuple[Array, Array | None]] | None = None,
    tiles: list[Tile] | None = None,
    lr: float = 0.1,
    step: int = 0,
    checking: bool = False,
) -> Swept:
    """The weight sweep of one layer, tile by tile (i0, i1, p0, p1): one tile by default."""
    layer = Layer(W.shape[0], W.shape[1], m.in_line, b is not None)
    source, cotangent = m.given("x", x, padding=np.nan), m.given("dz", dz)
    blocks = {"parameters": m.line_numbers("parameters", layer.flat(W, b))}
    for name, (first, second) in zip(STATE[1:], state or [], strict=False):
        blocks[name] = m.line_numbers(name, layer.flat(first, second))
    changed = list(blocks.values())
    if optimizer is KEEP:
        size = layer.written().size
        blocks["gradients"] = m.whole("gradients", m.memory.lines(size // m.in_line), size, output=True)
        changed = [blocks["gradients"]]
    transposed = m.panels("transposed", layer.panels * m.in_line, layer.inputs)
    for block in changed:
        block.may = np.zeros_like(block.may) if checking else layer.written()
        block.must = block.may if optimizer is KEEP else np.zeros_like(block.may)
    if not checking:
        m.writes(transposed, 0, transposed.rows)
    m.head.update.optimizer, m.head.step.checking = kernel_address(optimizer.kernel, m.real), LOOKING * checking
    for name, block in blocks.items():
        setattr(m.head.update if name == "gradients" else m.head.update.blocks, name, block.address)
    optimizer.prepare(m, lr, step)
    biases = layer.panels * layer.lines * LINE if layer.biased else -1
    record = m.record(
        Trained,
        x=source,
        d=cotangent,
        inputs=layer.inputs,
        panels=layer.panels,
        weight=Learned(stride=layer.lines * LINE, rate=1.0, decay=1.0),
        bias=Learned(offset=biases, stride=LINE, rate=1.0, decay=1.0),
        transposed=transposed,
    )
    for i0, i1, p0, p1 in tiles or [(0, layer.inputs, 0, layer.panels)]:
        m.worker.scratch = m.memory.lines((i1 - i0 + 1) * (p1 - p0))
        m.run("weights", 0, len(x), layer=m.address_of(record), i0=i0, i1=i1, p0=p0, p1=p1)
    written = {name: layer.natural(block.numbers()) for name, block in blocks.items()}
    return Swept(written, transposed)


def transpose(m: Machine, W: Array) -> Panels:
    """transpose_weights: the panels of Wᵀ."""
    layer = Layer(W.shape[0], W.shape[1], m.in_line, False)
    source = m.line_numbers("parameters", layer.flat(W, None))
    target = m.panels("transposed", layer.panels * m.in_line, layer.inputs)
    m.writes(target, 0, target.rows)
    m.head.update.blocks.parameters = source.address
    weight = Learned(stride=layer.lines * LINE)
    m.run("transpose_weights", 0, layer.panels, inputs=layer.inputs, weight=weight, transposed=target)
    return target


def orthonormalise(m: Machine, matrix: Array) -> Array:
    """The matrix with orthonormal rows, padding too."""
    rows, width = matrix.shape
    lines = -(-width // m.in_line)
    padded = np.zeros((rows, lines * m.in_line), m.dtype)
    padded[:, :width] = matrix
    buffer = m.line_numbers("matrix", padded)
    m.writes(buffer, 0, padded.size, over=True)
    m.call("orthonormalise", buffer.address, lines, rows)
    return buffer.numbers().reshape(padded.shape)


def scan_reals(m: Machine, array: Array) -> float:
    """The largest magnitude: NaN above infinity above all."""
    source, result = m.user("array", array), m.user_output("result", 1, np.int64)
    m.call("scan_reals", source.address, 0, array.size, result.address)
    return float(result.numbers("i8").astype(f"u{m.dtype.itemsize}").view(m.dtype)[0])


def scan_labels(m: Machine, labels: Array, classes: int) -> int:
    """The index of the first label that is no class, or -1."""
    source, result = m.user("labels", labels), m.user_output("result", 1, np.int64)
    result.must[:] = False  # -1, the answer where all is well, looks like poison
    # Here it is r0 that says how many.
    m.call("scan_labels", source.address, len(labels) + m.more_behind, classes - m.more_behind, result.address)
    return int(result.numbers("i8")[0])
