"""The process that reads: lists out of Redis, one computed live where none is stored, popular when all else is gone.

app        assembles the parts; wsgi is the process, processes runs several; rsgi takes requests in whole, counted
           adds up what all processes counted
releases   the release that answers, followed by a watcher; loading reads one from Redis or, in need, from files
lists      finds one owner's list; live/ computes one that is missing or behind its owner
since/     what is left out when a list is handed out
doors/     to Redis and to PostgreSQL, and the pause after a failure
http/      what the outside sees: callers, caps and headers, routes, query, present, events, health, access (log and
           metrics), openapi
page/      the page for people, and what only it asks
"""
