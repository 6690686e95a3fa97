-- Question: which users are on the platform at a cutoff, and what are their profiles?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: user_id, role, created_at, updated_at, name, headline, skills, interests, location, opted_out_at
-- Order: user_id
-- Index: users_pkey
-- Note: events are checked only for users created after the cutoff, who may have earlier events. A blank creation time means always present. Opt-outs from the cutoff on do not count.
SELECT u.user_id, u.role, u.created_at, u.updated_at, u.name, u.headline, u.skills, u.interests, u.location,
       CASE WHEN u.opted_out_at < :as_of THEN u.opted_out_at END AS opted_out_at
FROM matchbook_users u
WHERE u.created_at IS NULL OR u.created_at < :as_of
   OR EXISTS (SELECT 1 FROM matchbook_interactions i WHERE i.user_id = u.user_id AND i.occurred_at < :as_of)
ORDER BY u.user_id
