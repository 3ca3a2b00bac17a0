"""Registers ``hydra/sweeper=burnish_optuna``."""
