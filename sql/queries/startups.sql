-- Question: which startups are on the platform at a cutoff, and what are their profiles?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: startup_id, name, description, category, field, type, tags, stage, location, founder_id, created_at, updated_at, withdrawn_at
-- Order: startup_id
-- Index: startups_pkey
-- Note: events are checked only for startups created after the cutoff, which may have earlier events. The view counter is not read: its value at the cutoff is unknown (see view_readings).
SELECT s.startup_id, s.name, s.description, s.category, s.field, s.type, s.tags, s.stage, s.location, s.founder_id,
       s.created_at, s.updated_at,
       CASE WHEN s.withdrawn_at < :as_of THEN s.withdrawn_at END AS withdrawn_at
FROM matchbook_startups s
WHERE s.created_at IS NULL OR s.created_at < :as_of
   OR EXISTS (SELECT 1 FROM matchbook_interactions i WHERE i.startup_id = s.startup_id AND i.occurred_at < :as_of)
ORDER BY s.startup_id
