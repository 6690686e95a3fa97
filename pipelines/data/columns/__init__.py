"""Rows as columns: how a snapshot lies on disk, and the ways in which rows become it."""
