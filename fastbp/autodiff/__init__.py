"""Functions as graphs of gates: traced once, differentiated by one table, lowered to data, run by compiled code.

tracer      runs a Python function on stand-ins, which note every operation
graph       the gates it noted, each once, in the order they are computed
gates       for every gate that works number by number: its value and its derivative, one table
structure   the same for sums, products and what moves numbers
walk        forward and reverse mode: derivatives as more gates of the same graph
lower       from a graph to op records over buffers
program     these in memory, and how values get in and out
function    what users call
"""

from fastbp.engine import check_lanes

check_lanes()

# Here, so that whoever imports anything of this room finds the table of gates filled.
from fastbp.autodiff import structure  # noqa: E402, F401
