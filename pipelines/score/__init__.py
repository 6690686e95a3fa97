"""Score all owners in shards, through one recipe per surface."""
