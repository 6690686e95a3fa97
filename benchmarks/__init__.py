"""Benchmarks and fault runs, one command each; no test asserts a time."""
