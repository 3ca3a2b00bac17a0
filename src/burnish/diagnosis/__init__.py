"""Checks before a run, and verdicts on the curves that a run left."""
