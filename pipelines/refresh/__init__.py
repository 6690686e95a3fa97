"""Refresh between two builds: new lists for affected owners; all other lists stay as they are."""
