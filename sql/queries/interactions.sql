-- Question: who did what with which startup, and when, before a cutoff?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: user_id, startup_id, interaction_type, occurred_at
-- Order: none: sorting belongs to the reader, who needs ids as numbers anyway
-- Index: idx_user_interactions_created_at
-- Note: the index pays where the cutoff is early; a late one reads the whole table, as it must
SELECT user_id, startup_id, interaction_type, occurred_at
FROM matchbook_interactions
WHERE occurred_at < :as_of
