-- events/coded
-- Question: who did what with which startup, and when, before a cutoff, in cells of fixed width?
-- Parameters: as_of timestamptz, the cutoff; blank uuid, any unused id; seed int, any number
-- Columns: user_id uuid, startup_id uuid, kind_hash bigint, occurred_at timestamptz; none is ever null
-- Order: none: the export sorts after it replaced ids by numbers
-- Index: idx_user_interactions_created_at
-- Note: kind_hash is a hash of the type, see `events/kinds`. A missing user or startup is `blank`, a missing type 0, a
-- missing time -infinity; `events/broken` returns such rows as text. Cells of fixed width are read by the million
-- without parsing each. To look types up in a list would take a third of the query's time.
SELECT coalesce(user_id, CAST(:blank AS uuid)) AS user_id,
       coalesce(startup_id, CAST(:blank AS uuid)) AS startup_id,
       coalesce(hashtextextended(CAST(interaction_type AS text) COLLATE "C", :seed), 0) AS kind_hash,
       coalesce(occurred_at, '-infinity') AS occurred_at
FROM matchbook_interactions
WHERE occurred_at < :as_of OR occurred_at IS NULL
