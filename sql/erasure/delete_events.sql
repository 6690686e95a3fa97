-- Every posted event that names the person on either side, or in the event's own id, which is a text of the client's.
DELETE FROM matchbook_events
WHERE user_id = CAST(:id AS uuid) OR startup_id = CAST(:id AS uuid) OR event_id ~* :spelt
