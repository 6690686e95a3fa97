"""Between two builds: new lists for those of whom something new is known, the others carried over as they are.

arrivals   who came to the platform since, and how they stand in the id tables
changes    what happened since a release, and whose lists are made again for it
extend     the bundles that know everybody, with those who came since
relist     the new lists, by the recipe of the live release
merge      old and new lists as one release
live       put into the place of the release that it refreshes
steps      the same, step by step, for the command and for Airflow
"""
