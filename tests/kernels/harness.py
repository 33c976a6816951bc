"""A bench for single kernels: buffers laid out as a plan lays them out, one record, one worker, and no plan.

Buffers begin as poison, 0xFF in every byte, which is NaN in both dtypes and a bit pattern no kernel computes. A
`Machine` knows which elements of each buffer a call must write and which it may, so it can name what was left out or
overrun.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.engine.compiler import _kernels, kernel_address, sweep
from fastbp.engine.memory import Arena, view
from fastbp.kernels.fields import LINE, LINE_WORDS, Record
from fastbp.kernels.flags import TAKES
from fastbp.kernels.records import Head, Worker

Array = np.ndarray[Any, Any]

DTYPES = ("float32", "float64")
# Rows and widths: one either side of every tile size, of a line of either dtype and of two, and primes.
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33)
# Terms of a sum: either side of DEPTH on every level, and more than two of it.
DEPTHS = (1, 3, 16, 17, 127, 128, 129, 255, 256, 257, 600)
# (rows, width): every size once as rows and once as a width, no rows at all, one number, and sums longer than DEPTH.
SHAPES = (
    *zip(SIZES, SIZES[5:] + SIZES[:5], strict=True),
    *((0, 17), (1, 1), (33, 33), (257, 3), (6, 257), (129, 600)),
)

# The largest error allowed, as a part of the sum of the terms' magnitudes. `sum` is for products, the reduction over
# the batch and the losses, `value` for what is computed element by element, `update` for optimisers, several steps on;
# `differences` of central differences with a step of 1e-5; `adjoint` of two inner products that must be equal.
TOLERANCE = {
    "float32": {"sum": 1e-6, "value": 5e-7, "update": 2e-6, "adjoint": 1e-6},
    "float64": {"sum": 2e-15, "value": 1e-15, "update": 2e-14, "adjoint": 2e-15, "differences": 1e-7},
}
SPARE = 3  # rows of poison behind a panel's last row


def assert_close(actual: Any, expected: Any, scale: Any, kind: str, dtype: str) -> None:
    """Every element within the table's tolerance of `scale`; NaN equals NaN, and infinities are themselves."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    error = np.abs(actual - expected, where=finite, out=np.zeros(actual.shape))
    allowed = TOLERANCE[dtype][kind] * np.broadcast_to(scale, actual.shape)
    worst = np.argmax(np.where(finite, error - allowed, -np.inf)) if error.size else 0
    where = np.unravel_index(worst, actual.shape) if error.size else ()
    assert (error <= allowed)[finite].all(), f"at {where}: {actual[where]!r}, expected {expected[where]!r}"


def bits(array: Array) -> Array:
    """The same bytes as unsigned integers, one for each element."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def same_bits(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool((bits(a) == bits(b)).all())


class Memory:
    """Where buffers lie: an arena's lines, with poison behind every panel, and users' arrays off the lines."""

    spare = SPARE

    def __init__(self) -> None:
        self.arena = Arena()

    def lines(self, count: int) -> int:
        return self.arena.take(count * LINE)

    def panels(self, count: int, rows: int) -> tuple[int, int]:
        """Address and stride of so many panels."""
        stride = (rows | 1) * LINE
        return self.arena.take(count * stride), stride

    def user(self, size: int, itemsize: int) -> int:
        """Room for an array of a user's: aligned to its elements and to nothing more."""
        return self.arena.take(size + 2 * LINE) + itemsize


@dataclass
class Buffer:
    """Memory, how it was before the call, and the elements that the call must and may write."""

    name: str
    memory: Any  # keeps the bytes alive
    address: int
    content: Array  # a view, one unsigned integer an element
    must: Array
    may: Array
    before: Array = field(init=False)

    def remember(self) -> None:
        self.before = self.content.copy()

    def numbers(self, dtype: Any = None) -> Array:
        """A copy of what stands there, as reals unless something else is said."""
        return self.content.view(dtype or f"f{self.content.itemsize}").copy()

    def unwritten(self) -> bool:
        poison = ~self.content.dtype.type(0)
        return bool((self.content[self.must] == poison).any())

    def overrun(self) -> bool:
        return bool((self.content != self.before)[~self.may].any())


@dataclass
class Panels(Buffer):
    """A panel matrix of `rows` x `width` and the rows of poison behind it."""

    stride: int
    rows: int
    width: int
    count: int
    dtype: np.dtype[Any]
    row: int = LINE

    def lines(self) -> Array:
        """(rows, P * panels): what stands in the rows, padding too."""
        blocks = self.content[:, : self.rows].view(self.dtype)
        return blocks.transpose(1, 0, 2).reshape(self.rows, self.count * blocks.shape[2]).copy()

    def read(self) -> Array:
        return np.ascontiguousarray(self.lines()[:, : self.width])

    def padding(self) -> Array:
        return np.ascontiguousarray(self.lines()[:, self.width :])


class Machine:
    """One worker and its head, ready to call kernels on buffers made for them.

    Parameters
    ----------
    dtype : str
    memory : Memory, optional
        Where buffers lie.
    seed, step : int
        What dropout's masks are drawn from.
    finite : int, optional
        The first bits that are taken for no finite number; by default those of infinity.
    """

    # Added to the rows of every call, so that a test can tell a kernel to do too much.
    more_before = more_behind = 0

    def __init__(
        self, dtype: str, memory: Memory | None = None, *, seed: int = 0, step: int = 0, finite: int | None = None
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.real = dtype
        self.memory = memory or Memory()
        self.in_line = LINE // self.dtype.itemsize
        self.buffers: list[Buffer] = []
        self.called: list[str] = []
        self.head = self.record(Head)
        self.worker = self.record(Worker, head=self.address_of(self.head))
        self.head.data.seed, self.head.step.number = seed, step
        self.head.step.finite = int(bits(np.array([np.inf], dtype))[0]) if finite is None else finite
        self.head.team.threads, self.head.team.workers = 1, self.address_of(self.worker)

    # Memory.

    def records(self, kind: type[Record], count: int) -> list[Any]:
        """Zeroed records of a class, side by side."""
        size = kind.size
        words = view(self.memory.lines(-(-count * size // LINE_WORDS)), (count, size), np.int64)
        words[:] = 0
        return [kind(words[i]) for i in range(count)]

    def record(self, kind: type[Record], /, **values: Any) -> Any:
        """A record of a class, some of its fields set."""
        (out,) = self.records(kind, 1)
        for name, value in values.items():
            setattr(out, name, value)
        return out

    @staticmethod
    def address_of(record: Record) -> int:
        return int(record.words.ctypes.data)

    def whole(self, name: str, address: int, size: int, dtype: Any = None, *, output: bool = False) -> Buffer:
        """A buffer that is a plain row of elements; an output is poisoned and must be written whole."""
        kind = np.dtype(dtype or self.dtype)
        content = view(address, (size,), f"u{kind.itemsize}")
        mask = np.full(size, output)
        out = Buffer(name, self.memory, address, content, mask, mask.copy())
        if output:
            content[...] = ~content.dtype.type(0)
        self.buffers.append(out)
        return out

    def user(self, name: str, array: Array) -> Buffer:
        """A copy of a user's array, which no kernel may write."""
        array = np.ascontiguousarray(array)
        address = self.memory.user(array.nbytes, array.itemsize)
        out = self.whole(name, address, array.size, array.dtype)
        out.content[...] = bits(array).ravel()
        return out

    def user_output(self, name: str, size: int, dtype: Any = None) -> Buffer:
        """A user's array that a call must fill."""
        kind = np.dtype(dtype or self.dtype)
        address = self.memory.user(size * kind.itemsize, kind.itemsize)
        return self.whole(name, address, size, kind, output=True)

    def line_numbers(self, name: str, values: Array) -> Buffer:
        """Numbers in whole lines, zeros behind them: a bias, or what an optimiser keeps."""
        flat = np.zeros(-(-values.size // self.in_line) * self.in_line, self.dtype)
        flat[: values.size] = values.ravel()
        out = self.whole(name, self.memory.lines(flat.size // self.in_line), flat.size)
        out.content[...] = bits(flat)
        return out

    def panels(self, name: str, rows: int, width: int) -> Panels:
        """A poisoned panel matrix; a call must write the rows it is given and nothing else."""
        count = -(-width // self.in_line)
        lines = rows + self.memory.spare
        address, stride = self.memory.panels(count, lines)
        numbers = view(address, ((count - 1) * stride + lines * LINE,), np.uint8)
        content = np.lib.stride_tricks.as_strided(
            numbers.view(f"u{self.dtype.itemsize}"),
            (count, lines, self.in_line),
            (stride, LINE, self.dtype.itemsize),
        )
        content[...] = ~content.dtype.type(0)
        nothing = np.zeros(content.shape, bool)
        masks = nothing, nothing.copy()
        out = Panels(name, self.memory, address, content, *masks, stride, rows, width, count, self.dtype)
        self.buffers.append(out)
        return out

    def given(self, name: str, values: Array, padding: float = 0.0) -> Panels:
        """A panel matrix that holds `values`, with zeros (or other numbers) for padding and poison behind its rows."""
        rows, width = values.shape
        out = self.panels(name, rows, width)
        padded = np.full((rows, out.count * self.in_line), padding, self.dtype)
        padded[:, :width] = values
        blocks = padded.reshape(rows, out.count, self.in_line).transpose(1, 0, 2)
        out.content[:, :rows] = bits(blocks)
        return out

    def writes(self, target: Buffer, r0: int, r1: int, *, over: bool = False) -> None:
        """Expect the next call to write these rows of `target`; with `over` they held numbers before."""
        rows = slice(r0, r1)
        where: Any = (slice(None), rows) if isinstance(target, Panels) else rows
        target.may[where] = True
        target.must[where] = not over

    # Calls.

    def call(self, kernel: str, first: Record | int, r0: int, r1: int, second: Record | int | None = None) -> None:
        """Call one kernel on a record or an address, as this machine's worker unless `second` is something else."""
        self.called.append(kernel)
        for buffer in self.buffers:
            buffer.remember()
        address = kernel_address(kernel, self.real)
        given = first, self.worker if second is None else second
        one, other = (self.address_of(a) if isinstance(a, Record) else a for a in given)
        r0, r1 = r0 - self.more_before, r1 + self.more_behind
        sweep("invoke", self.real)(address, one, other, r0, r1, self.dtype.type(0))

    def run(self, kernel: str, r0: int, r1: int, /, **values: Any) -> None:
        """Call a kernel on a record of the class that it takes, which holds these values."""
        _kernels()  # fills TAKES
        self.call(kernel, self.record(TAKES[kernel][0], **values), r0, r1)

    def op(self, kernel: str, source: Panels, target: Panels, r0: int, r1: int, /, **values: Any) -> None:
        """Call the kernel of an op from panels to panels, which may be the same."""
        self.writes(target, r0, r1, over=target is source)
        self.run(kernel, r0, r1, a=source, c=target, width=source.width, panels=target.count, **values)

    def magnitude(self) -> float:
        """The largest magnitude that op number 0 has noted."""
        return float(self.noted().view(self.dtype)[0])

    def noted(self) -> Array:
        """Its bits."""
        return self.worker.magnitudes[:1].astype(f"u{self.dtype.itemsize}")

    # Verdicts.

    def unwritten(self) -> list[str]:
        """Names of buffers in which the last call left poison where it must write."""
        return [b.name for b in self.buffers if b.unwritten()]

    def overrun(self) -> list[str]:
        """Names of buffers in which the last call changed what was not its own; inputs are nobody's own."""
        return [b.name for b in self.buffers if b.overrun()]
