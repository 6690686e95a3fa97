"""Inject faults into the reader, publishers and builds, and count the failures. Each module is a command."""
