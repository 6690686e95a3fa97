"""Scoring everybody: shards of owners through the one recipe."""
