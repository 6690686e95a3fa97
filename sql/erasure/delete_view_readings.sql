-- Readings of a startup's view counter.
DELETE FROM matchbook_view_readings WHERE startup_id = CAST(:id AS uuid)
