"""Engagement with answers: clicks, applications, likes and dislikes of owners with impressions.

experiments   compare rates between groups of impressions and between arms
measure       compute all figures and store them for the report and the reader's metrics
"""
