"""The second stage: training samples at earlier cutoffs, the blend, the network and the learned ranker."""
