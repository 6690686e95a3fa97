-- Question: who did what with which startup, and when, before a cutoff, in cells of fixed width?
-- Parameters: as_of timestamptz, the cutoff; kinds text[], the event types that count; codes smallint[], the code of each
-- Columns: user_id uuid, startup_id uuid, kind smallint, occurred_at timestamptz; none is ever null
-- Order: none: the export sorts after it replaced ids by numbers
-- Index: idx_user_interactions_created_at
-- Note: kind is the code of the type; -1 marks a row that `events/broken` returns as text: an unknown type, no user,
-- no startup or no time. Cells of fixed width are read by the million without parsing each.
SELECT coalesce(user_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)) AS user_id,
       coalesce(startup_id, CAST('00000000-0000-0000-0000-000000000000' AS uuid)) AS startup_id,
       CAST(CASE WHEN user_id IS NULL OR startup_id IS NULL OR occurred_at IS NULL OR occurred_at = '-infinity' THEN -1
                 ELSE coalesce((CAST(:codes AS smallint[]))[array_position(CAST(:kinds AS text[]),
                                                                           CAST(interaction_type AS text))], -1)
            END AS smallint) AS kind,
       coalesce(occurred_at, '-infinity') AS occurred_at
FROM matchbook_interactions
WHERE occurred_at < :as_of OR occurred_at IS NULL
