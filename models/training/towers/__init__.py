"""The two-tower: what the towers read, and how they are trained."""
