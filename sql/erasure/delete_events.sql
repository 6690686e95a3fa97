-- Every event that the reader was told of, on either side.
DELETE FROM matchbook_events WHERE user_id = CAST(:id AS uuid) OR startup_id = CAST(:id AS uuid)
