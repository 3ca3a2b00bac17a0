"""Nets, one family a file; each takes the data's spec first and returns logits."""
