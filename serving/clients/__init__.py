"""Connect the reader to Redis and PostgreSQL, with a circuit breaker for both."""
