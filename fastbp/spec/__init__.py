"""What a user says: layers, signals, graphs, losses and what parameters start as, checked; nothing of it runs."""

from fastbp.engine import check_lanes

check_lanes()
