-- Question: what did these people do with these startups in a window, on the platform and as posted?
-- Parameters: users uuid[], startups uuid[] of equal length; since timestamptz, the start (inclusive); as_of timestamptz, the
-- end (exclusive)
-- Columns: user_id, startup_id, interaction_type, occurred_at
-- Order: none
-- Index: idx_user_interactions_startup_user, idx_matchbook_events_startup_user
WITH pair AS (SELECT * FROM unnest(CAST(:users AS uuid[]), CAST(:startups AS uuid[])) AS p (user_id, startup_id))
SELECT i.user_id, i.startup_id, CAST(i.interaction_type AS text) AS interaction_type, i.occurred_at
FROM pair JOIN matchbook_interactions i ON i.startup_id = pair.startup_id AND i.user_id = pair.user_id
WHERE i.occurred_at >= :since AND i.occurred_at < :as_of
UNION ALL
SELECT e.user_id, e.startup_id, e.type, e.received_at
FROM pair JOIN matchbook_events e ON e.startup_id = pair.startup_id AND e.user_id = pair.user_id
WHERE e.type = 'dismiss' AND e.received_at >= :since AND e.at < :as_of
