"""Compiled loops that walk a plan, what happens between its phases, and the entries that Python calls."""
