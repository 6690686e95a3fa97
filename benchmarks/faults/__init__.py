"""Fault runs: faults in the reader, publishers and builds, counted. Each module is a command."""
