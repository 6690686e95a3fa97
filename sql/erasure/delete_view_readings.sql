-- What was read of a startup's counter of views.
DELETE FROM matchbook_view_readings WHERE startup_id = CAST(:id AS uuid)
