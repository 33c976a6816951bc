"""Compiled code only: what the sweeps call, one file per family.

Letters, everywhere: B batch rows, I inputs, O outputs, N features, K classes, P the numbers in one line.
The cotangent of `x` is `dx`, its tangent `tx`.

A *line* is 64 bytes: 16 float32 or 8 float64. Every matrix the kernels touch lies in *panels*, columns of
lines: element (row, column) of a panel matrix stands at

    base + (column // P) * stride + row * 64 + (column % P) * itemsize

so a product reads both of its operands in one direction, and no column needs a tail: the last panel is padded
with zeros. `rows.py` turns the arrays of users into panels and back.

Every kernel has the same signature, `kernel(op, me, r0, r1, z)`: a record (an op of the plan, a tile of parameters, the
plan's head), the worker's own, the rows to do, and a zero whose type says float32 or float64. `@kernel(ProductOp)` says
which record it is; `records.py` and `ops.py` describe them all, and `op.a.stride` is a word of one.

Machine code is part of the promise of the same bits, and a compiler can break it. Once, all bias gradients of small
batches were wrong on half of the processors there are. A helper computed `inttoptr(a + b)`; Numba made machine code of
it, and on the way LLVM rewrote the sum as an offset `b` from a pointer `a`; Numba then linked the rewritten helper into
a caller in which `a` was the constant 0. An access through null is undefined, so LLVM dropped the store, without a
word, and whether a processor's tuning led there was chance. Hence:

    memory.py         every function that makes a pointer of an address says that null is an address like any other
    target.py         Numba stops after lowering; helpers are linked before anything is optimised or compiled
    levels.py         code is made for a few named levels, never for the host, so what is tested is what runs
    engine            one pipeline, objects with checksums; known answers (`train.self_test`) before a first use
    tests             optimised against plain code, bit for bit; no undefined operation in the final IR of any kernel
"""
