"""Measured comparisons, one command each; no test asserts a time."""
