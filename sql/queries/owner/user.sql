-- Question: what are the role and profile of this user?
-- Parameters: owner uuid, as_of timestamptz (later opt-outs do not count)
-- Columns: role, headline, skills, interests, location, opted_out
-- Order: one row, or none for an id that the platform does not know or that was erased
-- Index: users_pkey
SELECT role, headline, skills, interests, location, coalesce(opted_out_at < :as_of, false) AS opted_out
FROM matchbook_users
WHERE user_id = CAST(:owner AS uuid) AND NOT matchbook_was_erased(CAST(:owner AS uuid))
