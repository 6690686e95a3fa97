"""Where snapshots, bundles and releases are stored: a directory, or object storage behind it."""
