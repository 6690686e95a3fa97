-- Question: how many people and startups are on the platform at a cutoff?
-- Parameters: as_of timestamptz, the cutoff
-- Columns: users, startups
-- Order: one row
-- Index: none: both tables are counted once a day
SELECT (SELECT count(*) FROM matchbook_users WHERE created_at IS NULL OR created_at < :as_of) AS users,
       (SELECT count(*) FROM matchbook_startups WHERE created_at IS NULL OR created_at < :as_of) AS startups
