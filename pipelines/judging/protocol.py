"""The protocol of every figure, in words: stated once, here and in the report; `shared/evaluation` judges alike."""

from __future__ import annotations

PROTOCOL = (
    "One time line: the cut leaves the last share of all events ([holdout] share) at or after it. Base models "
    "are fitted again on what came before it; the build's own models never judge themselves.",
    "Candidates: everybody who was there at the cut, the full catalogue, no sample of it.",
    "Relevant: pairs that first met at or after the cut, less those whose last explicit opinion is a dislike. Views "
    "count. An owner counts when at least one such item could have been shown.",
    "The second stage that is judged was taught by other owners or by earlier cuts, never by what judges it.",
    "What an owner met, disliked or owns is never shown (a setting lets viewed items through). A place that repeats an "
    "item is a miss; a short list is not padded.",
    "Segments count what lies before the cut: events of a person, different people of a startup.",
    "At 10 places: precision = hits / 10; recall = hits / relevant; NDCG is binary, with log2 discount, over the best "
    "of min(10, relevant); MAP is the mean of average precision over min(10, relevant). Means are over owners.",
    "Coverage: share of the catalogue that anybody is shown. Gini: of how often each item is shown. Novelty: mean of "
    "-log2 of the share of active owners who had met an item (Zhou et al. 2010; unmet items count as met by one). "
    "Popularity rank: 0% the most met item, 100% the least. Diversity: share of a list's pairs of unlike category. "
    "Age: days from an item's creation to the cut, where it is known.",
    "Brackets: 95% intervals from 1,000 draws of owners with replacement. Differences are paired: the same owners, "
    "drawn together.",
)
