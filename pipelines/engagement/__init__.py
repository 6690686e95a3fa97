"""Engagement with answers: clicks, applications, likes and dislikes of owners with impressions.

experiments   rates of groups of impressions, and experiments: arms against the first one
measure       all figures, stored for the report and the reader's metrics
"""
