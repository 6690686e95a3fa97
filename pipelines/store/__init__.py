"""Store snapshots, bundles and releases in a directory, or in object storage with a local copy."""
