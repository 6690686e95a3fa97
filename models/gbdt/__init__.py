"""Gradient boosted trees: trained by LightGBM, scored in NumPy."""
