-- Question: which people answer to this: the name or headline holds it from the beginning of a word on, or the id begins so?
-- Parameters: word text (for LIKE, lower case, with its own escapes), words text (the same, searching by prefixes), first uuid, last uuid (of the ids that begin so), roles text[], most int
-- Columns: id, name, role
-- Order: name, id
-- Index: idx_users_words, users_pkey
-- Note: whoever was erased is left out last, of the few that are shown: asking costs more than finding
SELECT id, name, role
FROM (SELECT user_id AS id, coalesce(nullif(name, ''), nullif(headline, ''), '') AS name, role
      FROM matchbook_users
      WHERE btrim(lower(normalize(role, NFKC))) = ANY(:roles)
        AND (to_tsvector('simple', coalesce(name, '') || ' ' || coalesce(headline, '')) @@ to_tsquery('simple', :words)
                 AND (lower(name) LIKE '%' || :word || '%' OR lower(headline) LIKE '%' || :word || '%')
             OR user_id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid))
      ORDER BY name, id
      OFFSET 0) AS found
WHERE NOT matchbook_was_erased(id)
ORDER BY name, id
LIMIT :most
