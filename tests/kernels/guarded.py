"""Memory in which a byte too far is a dead process: every buffer between two pages that nobody may touch.

A buffer's last byte stands before such a page (`end`) or its first byte behind one (`start`): every panel of a matrix
by itself, in whole lines as the arena hands them out, and users' arrays to the element.

`python -m tests.kernels.guarded float32` runs every case both ways. With `more_behind` or `more_before` as second
argument each kernel is told to do one row too many, in a process of its own, and what killed it is printed as JSON.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import sys

from fastbp.kernels.vector import LINE
from tests.kernels.every_kernel import SEED, STEP, Case, cases
from tests.kernels.harness import Machine, Memory

PAGE = mmap.PAGESIZE
NOTHING = 0  # PROT_NONE
EDGES = ("end", "start")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Guarded(Memory):
    """Blocks between guard pages; `release` gives them back."""

    spare = 0

    def __init__(self, edge: str) -> None:
        self.edge = edge
        self.maps: list[tuple[int, int]] = []

    def block(self, size: int, count: int = 1) -> tuple[int, int]:
        """Address and stride of `count` blocks of `size` bytes, a guard page before the first and behind each."""
        pages = -(-max(size, 1) // PAGE) * PAGE
        stride = pages + PAGE
        whole = PAGE + count * stride
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        address = _libc.mmap(None, whole, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "mmap")
        self.maps.append((address, whole))
        for i in range(count + 1):
            if _libc.mprotect(address + i * stride, PAGE, NOTHING):
                raise OSError(ctypes.get_errno(), "mprotect")
        return address + PAGE + (pages - size if self.edge == "end" else 0), stride

    def lines(self, count: int) -> int:
        return self.block(count * LINE)[0]

    def panels(self, count: int, rows: int) -> tuple[int, int]:
        return self.block(rows * LINE, count)

    def user(self, size: int, itemsize: int) -> int:
        return self.block(size)[0]

    def release(self) -> None:
        for address, size in self.maps:
            _libc.munmap(address, size)
        self.maps.clear()


def run(case: Case, dtype: str, edge: str, more: str = "") -> None:
    memory = Guarded(edge)
    machine = Machine(dtype, memory, seed=SEED, step=STEP)
    if more:
        setattr(machine, more, 1)
    case.run(machine)
    del machine
    memory.release()


def fate(case: Case, dtype: str, more: str) -> int:
    """The signal that ends a process in which the kernel is told to do a row more than there is; 0 if it lives."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        run(case, dtype, "start" if more == "more_before" else "end", more)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


if __name__ == "__main__":
    dtype, *more = sys.argv[1:]
    done: dict[str, int] = {}
    for case in cases(dtype):
        if more and case.kernel not in done and min(case.shape) > 1:
            run(case, dtype, "end")  # compiles before the fork
            done[case.kernel] = fate(case, dtype, more[0])
        elif not more:
            for edge in EDGES:
                print(case.kernel, case.shape, edge, file=sys.stderr)
                run(case, dtype, edge)
            done[case.kernel] = done.get(case.kernel, 0) + 1
    print(json.dumps(done))
