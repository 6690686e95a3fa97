"""The clients of the reader: Redis, PostgreSQL, and the circuit breaker of both."""
