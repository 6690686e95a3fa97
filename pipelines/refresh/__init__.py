"""Make new lists for affected owners between two builds; all other lists stay as they are."""
