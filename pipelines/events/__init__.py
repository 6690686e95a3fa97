"""What happens between two builds: posted events on their way to PostgreSQL, and the small keys that answers are
filtered by.

drain      the stream of posted events into matchbook_events
retention  what was posted long ago and serves nobody any more, deleted
refresh    the platform's own rows into since hashes and hidden sets
"""
