-- Question: is there any user or startup?
-- Parameters: none
-- Columns: any
-- Order: one row
-- Index: none
SELECT EXISTS (SELECT 1 FROM matchbook_users) OR EXISTS (SELECT 1 FROM matchbook_startups) AS any
