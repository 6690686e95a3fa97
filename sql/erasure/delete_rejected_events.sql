-- Entries of the stream of posted events that were set aside and name them, however they spell the id.
DELETE FROM matchbook_rejected_events AS e WHERE CAST(e AS text) ~* :spelt
