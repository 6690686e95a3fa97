"""Posted events. `drain` moves them from the Redis stream to PostgreSQL and updates the filter keys."""
