"""Compiled code only: what the sweeps call, one file per family.

Letters, everywhere: B batch rows, I inputs, O outputs, N features, K classes, P the numbers in one line.
The cotangent of `x` is `dx`, its tangent `tx`.

A *line* is 64 bytes: 16 float32 or 8 float64. Every matrix the kernels touch lies in *panels*, columns of
lines: element (row, column) of a panel matrix stands at

    base + (column // P) * stride + row * 64 + (column % P) * itemsize

so a product reads both of its operands in one direction, and no column needs a tail: the last panel is padded
with zeros. `rows.py` turns the arrays of users into panels and back.

Every kernel has the same signature, `kernel(op, me, r0, r1, z)`: the address of its record (an op of the plan),
the address of the worker's own block, the rows to do, and a zero whose type says float32 or float64.
"""
