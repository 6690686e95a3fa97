"""Serve lists from Redis, compute a missing list live, and fall back to the popular list.

app        assembles the parts.
wsgi       makes the WSGI app of one process.
processes  runs several processes.
rsgi       receives whole requests.
counters   adds the metrics of all processes.
log_lines  writes the log.
releases   holds the live release, follows the pointer, loads a release from Redis or from files.
lists      finds the list of one owner.
live/      computes a list that is missing or outdated.
filters    removes items from a served list.
clients/   connect to Redis and PostgreSQL, with a circuit breaker.
http/      serves the API, health, metrics and the OpenAPI document.
console/   serves pages for people who operate Matchbook, and the JSON about single lists.
"""
