"""The words of the console that a product owner may not know, each explained once at /words."""

from __future__ import annotations

from models.schema import Method, Segment, Similar

#: By heading: the words and what they mean. A page links a word with the macro `term`.
WORDS: dict[str, dict[str, str]] = {
    "Releases": {
        "release": "All lists of one cutoff. Answers come from the live one. The others can be made live again.",
        "cutoff": "The time until which a release knows events. What happened later does not count in its lists.",
        "build": "Reads the data, trains the models, evaluates them, makes all lists, and asks the gate.",
        "gate": "Compares a new release with the live one. It lets it go live, stops it, or asks a person.",
        "refresh": "Once an hour, new people and people with new events get new lists, without training.",
        "promote": "Make a stored release live.",
        "roll back": "Make the last live release that is older than the live one live again.",
        "stored": "The files of a release are kept; they are loaded before it goes live.",
        "loaded": "The lists of a release are in Redis, so it goes live at once.",
    },
    "Lists": {
        "owner": "Whose list it is: a person who sees startups, or a startup that sees people.",
        "segment": "How much is known about an owner. It decides the route.",
        Segment.COLD: "Few events or none: lists come from the profile.",
        Segment.WARM: "Some events: lists come from one model that learned from everybody's events.",
        Segment.HOT: "Many events: several models are combined.",
        "route": "The method that an owner's number of events leads to.",
        "method": "What made a list. It differs from the route if that one has nothing for the owner.",
        "candidates": "Items that at least one model proposes for an owner. The ranker puts them in order.",
        "ranker": "Orders the candidates. The rules ranker combines score, age and popularity. "
        "A learned one was trained on what people did. The stacked one has few weights, for few data. "
        "Where both serve, the mean of both ranks.",
        "score": "What decides the place in a list, from 0 to 1. Scores of different owners cannot be compared.",
        "exposure": "In how many lists an item is among the first 20 places.",
        "popular lists": "The items with the most recent interest, the same for everybody. "
        "Personal lists should be better.",
        "degraded": "Answers with less than usual, because a part did not answer: older lists or popular ones.",
        "experiment": "Some owners get lists with other settings, and their engagement is compared.",
        "arm": "One of the settings that an experiment compares, and the owners who get it.",
    },
    "Methods and models": {
        Method.CONTENT_BASED: "Compares profiles and descriptions: words, skills, category, place.",
        Method.ALS: "Learns from everybody's events who likes what (alternating least squares).",
        Method.ALS_REVERSE: "The same for startups: learns which people engage with startups like this one.",
        Method.TWO_TOWER: "A neural network that learns from events and profiles together.",
        Method.ENSEMBLE: "Combines the scores of several models.",
        Method.POPULAR: "What most people engaged with lately.",
        Method.SIMILAR: "What resembles one startup or person.",
        "neighbours": "Items that the same people engaged with.",
        "graph filter": "Follows chains of people and startups with events in common.",
    },
    "Quality": {
        "NDCG@10": "How well the first 10 places match what people did later: 1 is perfect, 0 is nothing right. "
        "Early places count more. Held-out events are hidden from the models and predicted.",
        "95% interval": "The range in which the true value probably lies. If two ranges overlap much, the difference "
        "may be chance.",
    },
    "What people do": {
        "impression": "A place of a list was shown to somebody. The platform reports it with the id of the answer.",
        "click-through": "The share of impressions that were clicked.",
        "conversion": "The share of impressions that led to an application, interest or a like.",
        "event": "Something that a person did with a startup: view, click, like, apply and others.",
    },
    "Servers": {
        "reader": "The process that answers requests for lists and shows this console.",
        "cache": "Answers with lists of the release, read from Redis.",
        "live": "Of a release: answers come from it. Of an answer: computed when asked, for somebody new.",
        "p50": "Half of the requests are faster.",
        "p95": "19 of 20 requests are faster.",
        "p99": "99 of 100 requests are faster.",
        "drain": "Stores posted events in the database and follows the platform: withdrawn startups, opt-outs.",
        "doctor": "Checks every hour for known problems, and says what to do.",
        "Airflow": "Runs builds and actions on a schedule or when asked, and keeps their logs.",
        "Redis": "The memory from which lists are read.",
        "PostgreSQL": "The database with the platform's people, startups and events.",
    },
}
KNOWN = {word for words in WORDS.values() for word in words}


def anchor(word: str) -> str:
    """Return the fragment of a word at /words."""
    return "".join(c if c.isalnum() else "-" for c in word.lower())


def plain(kind: str) -> str:
    """Return a kind of list in words: "Startups for investors" for startups/for-investor."""
    left, _, right = kind.partition("/for-")
    alike = {Similar.STARTUPS.value: "Similar startups", Similar.USERS.value: "Similar people"}
    return f"{left.capitalize()} for {right}s" if right else alike[kind]
