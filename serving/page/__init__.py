"""Serve the page at `/` and its API: search by name, explain a list or a missing item, compare lists."""
