"""Sweeps: studies of Optuna whose trials are runs, by as many processes as take part."""
