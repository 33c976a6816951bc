"""Functions as graphs of gates: traced once, differentiated by one table, compiled."""
