"""Import of a data folder: read its rows with line numbers, check them, copy them into the platform's tables."""
