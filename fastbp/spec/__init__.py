"""The user's description of a network: layers, signals, graphs, losses and initialisers, checked; nothing here runs."""

from fastbp.engine import check_lanes

check_lanes()
