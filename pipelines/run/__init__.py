"""A run: its cutoff, its settings, where its files lie."""
