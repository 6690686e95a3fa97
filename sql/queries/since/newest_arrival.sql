-- Question: when did the newest person or startup come, before an instant?
-- Parameters: as_of timestamptz, the instant; earliest timestamptz, before which no birth is plausible
-- Columns: newest (null where nobody's day is known)
-- Order: one row
-- Index: idx_startups_created_at; of the people one pass
SELECT greatest((SELECT max(created_at) FROM matchbook_users WHERE created_at >= :earliest AND created_at < :as_of),
                (SELECT max(created_at) FROM matchbook_startups WHERE created_at >= :earliest AND created_at < :as_of))
       AS newest
