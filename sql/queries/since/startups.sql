-- Question: what are the profiles of these startups, and were they withdrawn before a cutoff?
-- Parameters: ids uuid[]; as_of timestamptz, the cutoff; earliest timestamptz: an older birth counts as blank
-- Columns: id, description, category, field, type, tags, stage, location, founder_id, created_at, gone (withdrawn)
-- Order: id
-- Index: startups_pkey
SELECT startup_id AS id, description, category, field, type, tags, stage, location, founder_id,
       CASE WHEN created_at >= :earliest THEN least(created_at, '9999-12-31T23:59:59.999999Z') END AS created_at,
       coalesce(withdrawn_at < :as_of, false) AS gone
FROM matchbook_startups
WHERE startup_id = ANY(CAST(:ids AS uuid[])) AND NOT matchbook_was_erased(startup_id)
ORDER BY startup_id
