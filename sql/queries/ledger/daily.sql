-- Question: how many interactions and active people did each day have?
-- Parameters: since timestamptz, as_of timestamptz: the window
-- Columns: day, interactions, people
-- Order: day
-- Index: idx_user_interactions_created_at
SELECT CAST(timezone('UTC', occurred_at) AS date) AS day, count(*) AS interactions, count(DISTINCT user_id) AS people
FROM matchbook_interactions
WHERE occurred_at >= :since AND occurred_at < :as_of
GROUP BY CAST(timezone('UTC', occurred_at) AS date)
ORDER BY day
