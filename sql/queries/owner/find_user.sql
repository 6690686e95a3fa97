-- Question: which people answer to this word: the name or headline holds it, or the id begins with it?
-- Parameters: word text (for LIKE, lower case, with its own escapes), roles text[], most int
-- Columns: id, name, role
-- Order: name, id
-- Index: none: the page asks once for what a person typed, within the reader's time-out
SELECT user_id AS id, coalesce(nullif(name, ''), nullif(headline, ''), '') AS name, role
FROM matchbook_users
WHERE btrim(lower(normalize(role, NFKC))) = ANY(:roles) AND NOT matchbook_was_erased(user_id)
  AND (lower(name) LIKE '%' || :word || '%' OR lower(headline) LIKE '%' || :word || '%'
       OR CAST(user_id AS text) LIKE :word || '%')
ORDER BY name, id
LIMIT :most
