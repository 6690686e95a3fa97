"""Export rows of the platform's views as an immutable snapshot at a cutoff."""
