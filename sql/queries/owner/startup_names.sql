-- Question: what are the names of these startups?
-- Parameters: ids uuid[]
-- Columns: id, name
-- Order: none, the answer is a mapping
-- Index: startups_pkey
SELECT startup_id AS id, coalesce(name, '') AS name
FROM matchbook_startups
WHERE startup_id = ANY(CAST(:ids AS uuid[]))
