"""Train bundles from a snapshot: fit, hold out and tune."""
