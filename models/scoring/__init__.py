"""What several models score with: the protocol, vectors, neighbours, exact top-k."""
