"""Compute the list of one owner who has none in the release, as the build does (H05, H07, R01).

recommender    keeps and computes live lists in the time budget, one computation per list over all processes.
recommenders   opens the models of the live release in the background and folds in the events of one owner.
shared_arrays  maps large arrays that the processes share.
"""

from serving.live.recommender import LiveRecommender
from serving.live.recommenders import folded_for

__all__ = ["LiveRecommender", "folded_for"]
