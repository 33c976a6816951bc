"""Networks as C99: the plan of one row, printed.

terms.py      the kernels' formulas of numbers, written out as C instead of LLVM's instructions
library.py    C of the kernels that are more than such a formula: products, norms, softmax, columns
program.py    the ops of a plan, what each reads and writes, and which memory that has
calls.py      an op as a call in C, kernel by kernel
constants.py  arrays of numbers
source.py     one file being written: functions by need, constants, entry points
together.py   what several members say together
proof.py      rows and what comes out of them, to be compared bit by bit
casadi.py     the functions by which CasADi calls others
"""
