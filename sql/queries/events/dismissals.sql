-- Question: which pairs are dismissed before a cutoff, since when, and when was it told last?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: user_id, startup_id, at (the first dismissal), told_at (when the last one came)
-- Order: user_id, startup_id
-- Index: idx_matchbook_events_dismiss
-- Note: what was retracted is none any more. A later opinion needs no look: it is a meeting, and bars as one
SELECT user_id, startup_id, min(at) AS at, max(received_at) AS told_at
FROM matchbook_events
WHERE type = 'dismiss' AND at < :as_of
GROUP BY user_id, startup_id
ORDER BY user_id, startup_id
