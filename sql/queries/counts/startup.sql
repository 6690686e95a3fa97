-- Question: how many different users met a startup before a cutoff (R09)?
-- Parameters: startup_id uuid, as_of timestamptz, earliest timestamptz (older events are not plausible), kinds text[] (the event types that count)
-- Columns: interactions
-- Order: one row
-- Index: idx_user_interactions_startup_at
-- Note: earlier counts are not read again (N07): only users who came after the counted cutoff and never before it
-- are added.
WITH counted AS (SELECT as_of FROM matchbook_counted WHERE as_of <= :as_of)
SELECT coalesce((SELECT c.interactions FROM matchbook_interaction_counts c, counted
                 WHERE c.entity = 'startup' AND c.id = :startup_id), 0)
     + (SELECT count(*)
        FROM (SELECT DISTINCT i.user_id
              FROM matchbook_interactions i
              WHERE i.startup_id = :startup_id AND i.interaction_type = ANY(:kinds) AND i.occurred_at < :as_of
                AND i.occurred_at >= coalesce((SELECT as_of FROM counted), :earliest)) AS fresh
        WHERE NOT EXISTS (SELECT 1 FROM matchbook_interactions o
                          WHERE o.startup_id = :startup_id AND o.user_id = fresh.user_id
                            AND o.interaction_type = ANY(:kinds)
                            AND o.occurred_at >= :earliest
                            AND o.occurred_at < (SELECT as_of FROM counted))) AS interactions
