-- Question: how many events happened at or after a cutoff?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: later
-- Order: one row
-- Index: idx_user_interactions_created_at
SELECT count(*) AS later
FROM matchbook_interactions
WHERE occurred_at >= :as_of
