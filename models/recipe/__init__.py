"""The recipe of a surface: what stays the same for all of its owners."""

from models.recipe.recipe import Recipe, diversity_facets, open_bundles, open_recipe, under

__all__ = ["Recipe", "diversity_facets", "open_bundles", "open_recipe", "under"]
