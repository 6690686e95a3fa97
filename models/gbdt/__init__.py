"""Gradient boosted trees: fitted by LightGBM, scored in NumPy."""
