-- Question: which people match a search: a word of the name or headline starts with it, or the id does?
-- Parameters: word text (for LIKE, lower case, escaped), words text (the same as search prefixes), first uuid, last uuid (range of ids with this prefix), roles text[], most int
-- Columns: id, name, role
-- Order: name, id
-- Index: idx_users_words, users_pkey
-- Note: erased people are removed last, only from the rows shown, because that check costs more than the search
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
