"""The page for people at `/`, and its own API: search by name, explain a list, explain a missing item, compare."""
