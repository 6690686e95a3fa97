"""Makes lists from a batch of owners."""
