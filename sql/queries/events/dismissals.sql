-- Question: which pairs are dismissed before a cutoff, since when, and when was the last dismissal received?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: user_id, startup_id, at (the first dismissal), told_at (receipt of the last one)
-- Order: user_id, startup_id
-- Index: idx_matchbook_events_dismiss
-- Note: retracted dismissals do not count. Later opinions need no check: they are interactions and exclude the pair, too
SELECT user_id, startup_id, min(at) AS at, max(received_at) AS told_at
FROM matchbook_events
WHERE type = 'dismiss' AND at < :as_of
GROUP BY user_id, startup_id
ORDER BY user_id, startup_id
