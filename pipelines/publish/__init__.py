"""Assemble scored shards to a release, verify, load, switch, roll back and retire it."""
