"""Fault runs: the reader and its publishers at unkind moments, counted. Each module is a command of its own."""
