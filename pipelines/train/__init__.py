"""From a snapshot to trained bundles: fit, hold out and tune."""
