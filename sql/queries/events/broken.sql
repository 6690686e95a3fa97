-- Question: which events before a cutoff lack a user, a startup, a time or a known type, and which of these?
-- Parameters: as_of timestamptz, the cutoff; kinds text[], the known event types
-- Columns: user_id, startup_id, interaction_type, occurred_at, reason
-- Order: reason, user_id, startup_id, occurred_at, interaction_type
-- Index: none: asked only where `events/coded` met such a row
-- Note: what an event lacks first, in the order of the cases, is its reason
SELECT user_id, startup_id, interaction_type, occurred_at, reason
FROM (SELECT user_id, startup_id, CAST(interaction_type AS text) AS interaction_type, occurred_at,
             CASE WHEN user_id IS NULL THEN 'no user'
                  WHEN startup_id IS NULL THEN 'no startup'
                  WHEN occurred_at IS NULL OR occurred_at = '-infinity' THEN 'no time'
                  WHEN interaction_type IS NULL OR CAST(interaction_type AS text) <> ALL(:kinds) THEN 'unknown type'
             END AS reason
      FROM matchbook_interactions
      WHERE occurred_at < :as_of OR occurred_at IS NULL) AS judged
WHERE reason IS NOT NULL
ORDER BY reason, user_id, startup_id, occurred_at, interaction_type
