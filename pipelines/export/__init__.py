"""Rows in, snapshots out."""
