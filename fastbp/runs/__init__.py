"""Training runs: the folder that one leaves behind, its checkpoints, and what is said about it."""
