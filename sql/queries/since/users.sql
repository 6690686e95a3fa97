-- Question: what are the profiles of these people, and did they opt out before a cutoff?
-- Parameters: ids uuid[]; as_of timestamptz, the cutoff; earliest timestamptz: an older birth counts as blank
-- Columns: id, role, headline, skills, interests, location, created_at, gone (opted out)
-- Order: id
-- Index: users_pkey
SELECT user_id AS id, role, headline, skills, interests, location,
       CASE WHEN created_at >= :earliest THEN least(created_at, '9999-12-31T23:59:59.999999Z') END AS created_at,
       coalesce(opted_out_at < :as_of, false) AS gone
FROM matchbook_users
WHERE user_id = ANY(CAST(:ids AS uuid[])) AND NOT matchbook_was_erased(user_id)
ORDER BY user_id
