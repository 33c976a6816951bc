"""Training runs: their folders, checkpoints and reports."""
