"""What may be wrong with a Matchbook, asked of its real state: figures, and the cure (P01-P09)."""
