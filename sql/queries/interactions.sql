-- Question: who did what with which startup, and when, before a cutoff?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: user_id, startup_id, interaction_type, occurred_at
-- Order: none: the export sorts after it replaced ids by numbers
-- Index: idx_user_interactions_created_at
-- Note: the index helps for an early cutoff; a late one reads the whole table
SELECT user_id, startup_id, interaction_type, occurred_at
FROM matchbook_interactions
WHERE occurred_at < :as_of
