-- Question: when did the newest event before an instant happen?
-- Parameters: as_of timestamptz, the instant; infinity for the newest of all
-- Columns: newest
-- Order: one row; null without any event
-- Index: idx_user_interactions_created_at
SELECT max(occurred_at) AS newest
FROM matchbook_interactions
WHERE occurred_at < :as_of
