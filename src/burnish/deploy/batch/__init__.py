"""Predictions on many files, texts or rows: found lazily, read ahead, written as they come."""
