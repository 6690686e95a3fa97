-- Question: which startups did this user found? They are never shown to their founder.
-- Parameters: owner uuid
-- Columns: startup_id
-- Order: none, the answer is a set
-- Index: idx_startups_founder_id
SELECT startup_id
FROM matchbook_startups
WHERE founder_id = CAST(:owner AS uuid)
