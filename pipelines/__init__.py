"""Offline steps that write: import, export, train, evaluate, score, publish. Each also runs as a command."""
