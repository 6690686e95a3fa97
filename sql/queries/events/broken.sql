-- Question: which events before a cutoff lack a user, startup, time or known type, and what do they lack?
-- Parameters: as_of timestamptz, the cutoff; kinds text[], the known event types
-- Columns: user_id, startup_id, interaction_type, occurred_at, reason
-- Order: reason, user_id, startup_id, occurred_at, interaction_type
-- Index: none: asked only if `events/coded` found such a row
-- Note: the reason is the first missing value, in the order of the cases
SELECT user_id, startup_id, interaction_type, occurred_at, reason
FROM (SELECT user_id, startup_id, CAST(interaction_type AS text) AS interaction_type, occurred_at,
             CASE WHEN user_id IS NULL THEN 'no user'
                  WHEN startup_id IS NULL THEN 'no startup'
                  WHEN occurred_at IS NULL OR occurred_at = '-infinity' THEN 'no time'
                  WHEN interaction_type IS NULL OR CAST(interaction_type AS text) COLLATE "C" <> ALL(:kinds) THEN 'unknown type'
             END AS reason
      FROM matchbook_interactions
      WHERE occurred_at < :as_of OR occurred_at IS NULL) AS judged
WHERE reason IS NOT NULL
ORDER BY reason, user_id, startup_id, occurred_at, interaction_type
