"""The doors of the reader: cache to Redis, postgres to PostgreSQL, breaker the pause after a failure of either."""
