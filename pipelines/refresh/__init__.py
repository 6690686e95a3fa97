"""Refresh between two builds: new lists for affected owners; all other lists stay as they are.

changes    new people, startups and events since a release, and the owners to rescore
merge      the new lists by the recipe of the live release, merged with the old ones
refresh    the steps, for the command and for Airflow
"""
