-- Every event that the reader was told of, on either side; also where only the event's own id, a text of the client's,
-- names them.
DELETE FROM matchbook_events
WHERE user_id = CAST(:id AS uuid) OR startup_id = CAST(:id AS uuid) OR event_id ~* :spelt
