-- Question: who founded each startup that was created or edited since an instant?
-- Parameters: since timestamptz, the instant
-- Columns: user_id, startup_id
-- Order: none
-- Index: idx_startups_created_at, idx_startups_updated_at
SELECT founder_id AS user_id, startup_id
FROM matchbook_startups
WHERE founder_id IS NOT NULL AND (created_at >= :since OR updated_at >= :since)
  AND NOT matchbook_was_erased(founder_id) AND NOT matchbook_was_erased(startup_id)
