"""What becomes of a network: rules of layers, buffers, phases and plans."""

from fastbp.engine import check_lanes

check_lanes()
