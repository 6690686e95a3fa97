"""Data types that the models share: frozen dataclasses, validated on construction, one array per column."""
