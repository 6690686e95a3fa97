-- Question: for each surface, which listed owner has the most events?
-- Parameters: none
-- Columns: surface, owner, items, interactions (items: whether the list can have any item)
-- Order: surfaces that have items first, then the owner's events
-- Index: matchbook_interaction_counts_pkey
WITH people AS (
    SELECT DISTINCT ON (u.role) u.role, u.user_id, coalesce(c.interactions, 0) AS interactions
    FROM (SELECT user_id, btrim(lower(normalize(role, NFKC))) AS role, opted_out_at FROM matchbook_users) AS u
    LEFT JOIN matchbook_interaction_counts AS c ON c.entity = 'user' AND c.id = u.user_id
    WHERE u.role IN ('developer', 'investor') AND u.opted_out_at IS NULL
    ORDER BY u.role, interactions DESC, u.user_id
), startup AS (
    SELECT s.startup_id, coalesce(c.interactions, 0) AS interactions
    FROM matchbook_startups AS s
    LEFT JOIN matchbook_interaction_counts AS c ON c.entity = 'startup' AND c.id = s.startup_id
    WHERE s.withdrawn_at IS NULL
    ORDER BY interactions DESC, s.startup_id
    LIMIT 1
)
SELECT 'startups/for-' || role AS surface, user_id AS owner, true AS items, interactions FROM people
UNION ALL
SELECT role || 's/for-startup', startup_id, role IN (SELECT role FROM people), startup.interactions
FROM startup CROSS JOIN (VALUES ('developer'), ('investor')) AS roles (role)
ORDER BY items DESC, surface DESC
