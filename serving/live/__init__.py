"""The live fallback: the same recipe for a batch of one, where a release has no list for an owner (H05, H07, R01).

recommender   what is kept, what is computed, and how long anybody waits for it
flights       one computation of a list, however many ask, in all processes
recipes       the models of the release that answers, opened in the background
newcomer      one owner as the recipe sees them: everything done so far, folded into the models
"""

from serving.live.recommender import LiveRecommender
from serving.live.recommenders import folded_for

__all__ = ["LiveRecommender", "folded_for"]
