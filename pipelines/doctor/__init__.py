"""Diagnoses of a running system with figures and advice (P01-P09)."""
