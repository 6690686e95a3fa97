"""The reader: serves lists from Redis, computes a missing list live, and falls back to the popular list.

app        assembles the parts.
wsgi       the WSGI app of a process. processes runs several. rsgi receives whole requests.
counters   adds the metrics of all processes. log_lines writes the log.
releases   holds the live release, follows the pointer, loads a release from Redis or from files.
lists      finds one owner's list. live/ computes a list that is missing or outdated.
filters    what is left out of a served list.
clients/   Redis, for threads and for the event loop; PostgreSQL; the circuit breaker.
http/      hits, routes, keys, requests, answers, events, health, metrics, OpenAPI.
page/      the page for people and its API.
"""
