-- Question: what are the names of these people?
-- Parameters: ids uuid[]
-- Columns: id, name
-- Order: none, the answer is a mapping
-- Index: users_pkey
SELECT user_id AS id, coalesce(nullif(name, ''), nullif(headline, ''), '') AS name
FROM matchbook_users
WHERE user_id = ANY(CAST(:ids AS uuid[])) AND NOT matchbook_was_erased(user_id)
