"""What happened since a list was made, applied when it is handed out.

hidden     withdrawn startups and people who opted out, held in process
filters    what of a list is left out
"""
