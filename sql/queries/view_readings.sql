-- Question: which values of each startup's view counter did earlier exports read before a cutoff?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: startup_id, read_at, views
-- Order: startup_id, read_at
-- Index: matchbook_view_readings_pkey
SELECT startup_id, read_at, views
FROM matchbook_view_readings
WHERE read_at < :as_of
ORDER BY startup_id, read_at
