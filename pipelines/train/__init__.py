"""From a snapshot to trained bundles: fit, hold out, rank, evaluate."""
