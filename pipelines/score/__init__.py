"""Scoring of all owners: shards of owners through one recipe."""
