"""Sweeps: a study of Optuna whose trials are ordinary runs."""
