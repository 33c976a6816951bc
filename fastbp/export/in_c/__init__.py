"""Networks as C99: the plan of one row, printed.

terms.py      the kernels' formulas of numbers, written out as C instead of LLVM's instructions
prelude.py    what a file begins with
library.py    C of the kernels that are more than such a formula: products, norms, softmax; in library_columns.py others
program.py    the ops of a plan, what each reads and writes, and which memory that has
calls.py      an op as a call in C, kernel by kernel
rows.py       the functions of one network
source.py     one file being written: constants, and functions by need
file.py       the file and its header
together.py   what several members say together, by the functions in exact.py
proof.py      rows and what comes out of them, to be compared bit by bit
casadi.py     the functions by which CasADi calls others
tables.py     rows of tables as structs, and in tables_outcome.py what is said of them
"""
