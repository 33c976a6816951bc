"""Networks: layers, losses, and what a plan of them looks like in memory."""

from fastbp.engine import check_lanes

check_lanes()
