-- Question: which startups answer to this: the name holds it from the beginning of a word on, or the id begins so?
-- Parameters: word text (for LIKE, lower case, with its own escapes), words text (the same, searching by prefixes), first uuid, last uuid (of the ids that begin so), most int
-- Columns: id, name, role (null)
-- Order: name, id
-- Index: idx_startups_words, startups_pkey
SELECT startup_id AS id, coalesce(name, '') AS name, CAST(NULL AS text) AS role
FROM matchbook_startups
WHERE to_tsvector('simple', coalesce(name, '')) @@ to_tsquery('simple', :words) AND lower(name) LIKE '%' || :word || '%'
   OR startup_id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)
ORDER BY name, id
LIMIT :most
