"""Train the second stage: samples at earlier cutoffs, the blend, the network and the learned ranker."""
