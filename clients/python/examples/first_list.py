"""Show an investor a list, and say what they saw and clicked: `python first_list.py <address> <user id>`."""

import os
import sys

from matchbook_client import Matchbook, event, impressions

address, investor = sys.argv[1:]
with Matchbook(address, key=os.environ.get("MATCHBOOK_KEY")) as matchbook:
    answer = matchbook.startups_for_investor(investor, limit=5)
    for place, startup in enumerate(answer["startups"], start=1):
        print(place, startup["id"], f"{startup['score']:.2f}", "; ".join(startup["reasons"]))

    shown = impressions(answer, investor)
    clicked = event("click", answer, investor, answer["startups"][0]["id"])
    print("accepted:", matchbook.post_events([*shown, clicked])["accepted"])
