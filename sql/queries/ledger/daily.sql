-- Question: how many interactions did each day bring, and of how many people?
-- Parameters: since timestamptz, as_of timestamptz: between these
-- Columns: day, interactions, people
-- Order: day
-- Index: idx_user_interactions_created_at
SELECT CAST(timezone('UTC', occurred_at) AS date) AS day, count(*) AS interactions, count(DISTINCT user_id) AS people
FROM matchbook_interactions
WHERE occurred_at >= :since AND occurred_at < :as_of
GROUP BY CAST(timezone('UTC', occurred_at) AS date)
ORDER BY day
