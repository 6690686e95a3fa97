-- Impressions older than the window of every figure; an impression excludes nobody from a list.
DELETE FROM matchbook_events WHERE type = 'impression' AND received_at < :shown_before AND at < :shown_before
