"""A marketplace drawn from a known truth: everybody has a taste, and acts on it more often than not."""
