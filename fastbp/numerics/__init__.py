"""Numbers that are the same everywhere, in plain NumPy: functions rounded by us, and random numbers by position."""
