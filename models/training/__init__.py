"""The fit side: implicit, torch and scikit-learn stand here and nowhere else; only `pipelines` opens this shelf."""
