"""The network: its parameters, what can be asked of it, and its files."""

from fastbp.engine import check_lanes

check_lanes()
