-- Question: what are the names of all people?
-- Parameters: none
-- Columns: id, name
-- Order: none, the answer is a mapping
-- Index: none
SELECT user_id AS id, coalesce(nullif(name, ''), nullif(headline, ''), '') AS name
FROM matchbook_users
WHERE user_id IS NOT NULL AND NOT matchbook_was_erased(user_id)
