"""From a network to a plan: rules of layers, buffers, phases and plans."""

from fastbp.engine import check_lanes

check_lanes()
