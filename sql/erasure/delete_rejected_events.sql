-- Entries of the stream of posted events that were set aside and name them.
DELETE FROM matchbook_rejected_events WHERE position(lower(CAST(:id AS text)) IN lower(content)) > 0
