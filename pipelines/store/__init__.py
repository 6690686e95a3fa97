"""Storage of snapshots, bundles and releases: a directory, or object storage with a local copy."""
