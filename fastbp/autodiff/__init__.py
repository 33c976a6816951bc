"""Functions as graphs of gates: traced once, differentiated by one table, lowered to data, run by compiled code.

tracer      runs a Python function on placeholders that record every operation
graph       the gates it noted, each once, in the order they are computed
gates       elementwise gates: value and derivative of each, in one table
structure   the same for sums, products and rearrangements
walk        forward and reverse mode: derivatives as more gates of the same graph
lower       from a graph to op records over buffers
program     op records in memory, and conversion of values
function    what users call
"""

from fastbp.engine import check_lanes

check_lanes()

# Imported here, so that the table of gates is always filled.
from fastbp.autodiff import structure  # noqa: E402, F401
