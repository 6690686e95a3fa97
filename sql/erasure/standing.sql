-- Whether the platform's own views still name this id; Matchbook never changes those tables.
SELECT EXISTS (SELECT 1 FROM matchbook_users WHERE user_id = CAST(:id AS uuid))
    OR EXISTS (SELECT 1 FROM matchbook_startups
               WHERE startup_id = CAST(:id AS uuid) OR founder_id = CAST(:id AS uuid))
    OR EXISTS (SELECT 1 FROM matchbook_interactions
               WHERE user_id = CAST(:id AS uuid) OR startup_id = CAST(:id AS uuid))
