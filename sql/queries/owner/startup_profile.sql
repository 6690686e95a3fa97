-- Question: what does the platform say about this startup, with every column of its view?
-- Parameters: owner uuid
-- Columns: profile (jsonb)
-- Order: one row, or none for an id that the platform does not know or that was erased
-- Index: startups_pkey
SELECT to_jsonb(p) AS profile
FROM matchbook_startups p
WHERE startup_id = CAST(:owner AS uuid) AND NOT matchbook_was_erased(CAST(:owner AS uuid))
