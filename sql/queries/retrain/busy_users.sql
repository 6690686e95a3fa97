-- Question: how many interactions has each user had since an instant?
-- Parameters: since timestamptz, the instant (inclusive); as_of timestamptz, the end (exclusive)
-- Columns: id, interactions
-- Order: none
-- Index: idx_user_interactions_created_at
SELECT user_id AS id, count(*) AS interactions
FROM matchbook_interactions
WHERE occurred_at >= :since AND occurred_at < :as_of
GROUP BY user_id
