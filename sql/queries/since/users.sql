-- Question: who are these people, what do their profiles say, and did they opt out before a cutoff?
-- Parameters: ids uuid[]; as_of timestamptz, the cutoff
-- Columns: id, role, created_at, headline, skills, interests, location, gone (opted out)
-- Order: id
-- Index: users_pkey
SELECT user_id AS id, role, created_at, headline, skills, interests, location,
       coalesce(opted_out_at < :as_of, false) AS gone
FROM matchbook_users
WHERE user_id = ANY(CAST(:ids AS uuid[])) AND NOT matchbook_was_erased(user_id)
ORDER BY user_id
