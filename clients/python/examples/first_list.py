"""Show an investor a list, and say what they saw and clicked: `python first_list.py <address> <user id>`."""

import os
import sys

from matchbook_client import Matchbook, MatchbookError, event, impressions


def show(address: str, investor: str) -> None:
    with Matchbook(address, key=os.environ.get("MATCHBOOK_KEY")) as matchbook:
        answer = matchbook.startups_for_investor(investor, limit=5)
        if not answer["startups"]:
            sys.exit(f"The list of {investor} is empty: {answer['reason']}.")
        for place, startup in enumerate(answer["startups"], start=1):
            print(place, startup["id"], f"{startup['score']:.2f}", "; ".join(startup["reasons"]))

        shown = impressions(answer, investor)
        clicked = event("click", answer, investor, answer["startups"][0]["id"])
        print("accepted:", matchbook.post_events([*shown, clicked])["accepted"])


if len(sys.argv) != 3:
    sys.exit("Give the address of the reader and the id of an investor: python first_list.py <address> <user id>")
try:
    show(*sys.argv[1:])
except MatchbookError as error:
    sys.exit(str(error))
