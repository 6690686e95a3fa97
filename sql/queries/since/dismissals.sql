-- Question: who dismissed which startup, and when, within a window? Dismissals are no interactions: no view has them.
-- Parameters: since timestamptz, the start (inclusive); as_of timestamptz, the end (exclusive)
-- Columns: user_id, startup_id, interaction_type, occurred_at
-- Order: none
-- Index: idx_matchbook_events_at
SELECT user_id, startup_id, type AS interaction_type, at AS occurred_at
FROM matchbook_events
WHERE at >= :since AND at < :as_of AND type = 'dismiss' AND NOT matchbook_was_erased(user_id)
  AND NOT matchbook_was_erased(startup_id)
