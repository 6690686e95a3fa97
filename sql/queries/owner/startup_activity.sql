-- Question: how many events of each type did a startup have in a window, and by how many people?
-- Parameters: owner uuid; since timestamptz, as_of timestamptz: the window
-- Columns: kind, events, people
-- Order: events, descending
-- Index: idx_user_interactions_startup_at
SELECT interaction_type AS kind, count(*) AS events, count(DISTINCT user_id) AS people
FROM matchbook_interactions
WHERE startup_id = CAST(:owner AS uuid) AND occurred_at >= :since AND occurred_at < :as_of
GROUP BY interaction_type
ORDER BY events DESC, kind
