-- Question: what is the profile of this startup, and who founded it?
-- Parameters: owner uuid
-- Columns: description, category, field, type, tags, stage, location, founder_id
-- Order: one row, or none for an id that the platform does not know or that was erased
-- Index: startups_pkey
SELECT description, category, field, type, tags, stage, location, founder_id
FROM matchbook_startups
WHERE startup_id = CAST(:owner AS uuid) AND NOT matchbook_was_erased(CAST(:owner AS uuid))
