-- Question: how many events does a user have before a cutoff, duplicates once (R09)?
-- Parameters: user_id uuid, as_of timestamptz, earliest timestamptz (older events are not plausible), kinds text[] (the event types that count)
-- Columns: interactions
-- Order: one row
-- Index: idx_user_interactions_user_id
-- Note: earlier counts are not read again (N07). Events of one instant are on one side of a cutoff, so the two parts add
-- up exactly.
WITH counted AS (SELECT as_of FROM matchbook_counted WHERE as_of <= :as_of)
SELECT coalesce((SELECT c.interactions FROM matchbook_interaction_counts c, counted
                 WHERE c.entity = 'user' AND c.id = :user_id), 0)
     + (SELECT count(*)
        FROM (SELECT DISTINCT i.startup_id, i.interaction_type, i.occurred_at
              FROM matchbook_interactions i
              WHERE i.user_id = :user_id AND i.interaction_type = ANY(:kinds) AND i.occurred_at < :as_of
                AND i.occurred_at >= coalesce((SELECT as_of FROM counted), :earliest)) AS fresh) AS interactions
