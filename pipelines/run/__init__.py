"""A run: its cutoff, its settings and its folders."""
