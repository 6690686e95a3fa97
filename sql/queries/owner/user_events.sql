-- Question: what did this user do with which startup, duplicates once (R09)?
-- Parameters: owner uuid, as_of timestamptz, earliest timestamptz (older events are not plausible), kinds text[] (the event types that count)
-- Columns: item, kind, at_us (microseconds since 1970 UTC)
-- Order: none, the answer is a set
-- Index: idx_user_interactions_user_id
SELECT DISTINCT startup_id AS item, interaction_type AS kind,
       CAST(round(extract(epoch FROM occurred_at) * 1000000) AS bigint) AS at_us
FROM matchbook_interactions
WHERE user_id = CAST(:owner AS uuid) AND interaction_type = ANY(:kinds) AND occurred_at < :as_of
  AND occurred_at >= :earliest
