-- Question: who did what with which startup, and when, within a window?
-- Parameters: since timestamptz, the start (inclusive); as_of timestamptz, the end (exclusive)
-- Columns: user_id, startup_id, interaction_type, occurred_at
-- Order: none
-- Index: idx_user_interactions_created_at
SELECT user_id, startup_id, interaction_type, occurred_at
FROM matchbook_interactions
WHERE occurred_at >= :since AND occurred_at < :as_of AND NOT matchbook_was_erased(user_id)
  AND NOT matchbook_was_erased(startup_id)
