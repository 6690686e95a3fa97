"""Benchmarks of the reader: against a bare route, with slow clients, and for live lists."""
