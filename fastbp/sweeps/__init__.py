"""Compiled loops over plans, transitions between phases, and the entries that Python calls."""
