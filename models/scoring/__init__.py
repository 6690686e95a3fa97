"""Scoring shared by several models: protocols, vectors, neighbours, exact top-k."""
