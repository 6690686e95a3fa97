-- Question: how many rows does the platform hold?
-- Parameters: none
-- Columns: users, startups, interactions
-- Order: one row
-- Index: none; every row is counted
SELECT (SELECT count(*) FROM matchbook_users) AS users,
       (SELECT count(*) FROM matchbook_startups) AS startups,
       (SELECT count(*) FROM matchbook_interactions) AS interactions
