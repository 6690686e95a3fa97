"""The live fallback: the recipe of the build for one owner without a list in the release (H05, H07, R01).

recommender   keeps and computes live lists within the time budget; one computation per list over all processes
recommenders  the models of the live release, opened in the background; one owner's events folded into them
"""

from serving.live.recommender import LiveRecommender
from serving.live.recommenders import folded_for

__all__ = ["LiveRecommender", "folded_for"]
