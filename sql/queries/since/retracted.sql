-- Question: which pairs had a retraction since an instant, and when was the last one received?
-- Parameters: since timestamptz, the instant (inclusive); as_of timestamptz, the end of its own time (exclusive)
-- Columns: user_id, startup_id, told_at
-- Order: none
-- Index: idx_matchbook_events_retract
SELECT user_id, startup_id, max(received_at) AS told_at
FROM matchbook_events
WHERE received_at >= :since AND at < :as_of AND type = 'retract'
GROUP BY user_id, startup_id
