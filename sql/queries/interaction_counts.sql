-- Question: how many events does each user have before a cutoff, and how many different users met each startup (R09)?
-- Parameters: as_of timestamptz, the cutoff; kinds text[] (the event types that count)
-- Columns: entity, id, interactions
-- Order: none
-- Index: none
-- Note: reads every event once; asked once a build, to fill matchbook_interaction_counts (N07).
WITH events AS MATERIALIZED (
    SELECT DISTINCT user_id, startup_id, interaction_type, occurred_at
    FROM matchbook_interactions
    WHERE occurred_at < :as_of AND interaction_type = ANY(:kinds)
)
SELECT 'user' AS entity, user_id AS id, count(*) AS interactions FROM events GROUP BY user_id
UNION ALL
SELECT 'startup', startup_id, count(DISTINCT user_id) FROM events GROUP BY startup_id
