"""From a batch of owners to their lists."""
