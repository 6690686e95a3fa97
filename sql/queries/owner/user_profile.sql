-- Question: what does the platform say about this user, with every column of its view?
-- Parameters: owner uuid
-- Columns: profile (jsonb)
-- Order: one row, or none for an id that the platform does not know or that was erased
-- Index: users_pkey
SELECT to_jsonb(p) AS profile
FROM matchbook_users p
WHERE user_id = CAST(:owner AS uuid) AND NOT matchbook_was_erased(CAST(:owner AS uuid))
