"""Scoring shared by several models: the protocol, vectors, neighbours, exact top-k."""
