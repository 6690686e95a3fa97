-- Question: what are the names of all startups?
-- Parameters: none
-- Columns: id, name
-- Order: none, the answer is a mapping
-- Index: none
SELECT startup_id AS id, coalesce(name, '') AS name
FROM matchbook_startups
WHERE startup_id IS NOT NULL AND NOT matchbook_was_erased(startup_id)
