-- Impressions that no figure of answers looks back to any more; an impression bars nobody.
DELETE FROM matchbook_events WHERE type = 'impression' AND received_at < :shown_before AND at < :shown_before
