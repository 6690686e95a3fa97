-- Question: which startups answer to this word: the name holds it, or the id begins with it?
-- Parameters: word text (for LIKE, lower case, with its own escapes), most int
-- Columns: id, name, role (null)
-- Order: name, id
-- Index: none: the page asks once for what a person typed, within the reader's time-out
SELECT startup_id AS id, coalesce(name, '') AS name, CAST(NULL AS text) AS role
FROM matchbook_startups
WHERE lower(name) LIKE '%' || :word || '%' OR CAST(startup_id AS text) LIKE :word || '%'
ORDER BY name, id
LIMIT :most
