"""A run's folder on disk: what it holds, who made it."""
