"""Export: rows of the platform's views become an immutable snapshot at a cutoff."""
