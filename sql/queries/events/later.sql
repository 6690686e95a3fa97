-- Question: how many events happened at or after a cutoff, and when did the first and the last of them?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: later, first, last (both null without any event)
-- Order: one row
-- Index: idx_user_interactions_created_at
SELECT count(*) AS later, min(occurred_at) AS first, max(occurred_at) AS last
FROM matchbook_interactions
WHERE occurred_at >= :as_of
