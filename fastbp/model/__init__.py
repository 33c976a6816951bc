"""The network: parameters, predictions, derivatives and files."""

from fastbp.engine import check_lanes

check_lanes()
