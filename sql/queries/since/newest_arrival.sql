-- Question: when was the newest person or startup created, before an instant?
-- Parameters: as_of timestamptz, the instant; earliest timestamptz, before which no birth is plausible
-- Columns: newest (null if no time is known)
-- Order: one row
-- Index: idx_startups_created_at; one scan of the people
SELECT greatest((SELECT max(created_at) FROM matchbook_users WHERE created_at >= :earliest AND created_at < :as_of),
                (SELECT max(created_at) FROM matchbook_startups WHERE created_at >= :earliest AND created_at < :as_of))
       AS newest
