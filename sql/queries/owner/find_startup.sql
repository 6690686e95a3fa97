-- Question: which startups match a search: a word of the name starts with it, or the id does?
-- Parameters: word text (for LIKE, lower case, escaped), words text (the same as search prefixes), first uuid, last uuid (range of ids with this prefix), most int
-- Columns: id, name, role (null)
-- Order: name, id
-- Index: idx_startups_words, startups_pkey
SELECT startup_id AS id, coalesce(name, '') AS name, CAST(NULL AS text) AS role
FROM matchbook_startups
WHERE to_tsvector('simple', coalesce(name, '')) @@ to_tsquery('simple', :words) AND lower(name) LIKE '%' || :word || '%'
   OR startup_id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)
ORDER BY name, id
LIMIT :most
