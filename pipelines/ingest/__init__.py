"""Import a data folder: read rows with line numbers, check them, copy them into the platform's tables."""
