-- The three contract views over the platform above. An integrator writes the same three over other tables
-- (docs/guides/your-data.md).
CREATE VIEW matchbook_users AS
SELECT id AS user_id, role, created_at, updated_at, name, headline, skills, interests, location, opted_out_at
FROM users;

CREATE VIEW matchbook_startups AS
SELECT id AS startup_id, name, description, category, field, type, tags, stage, location, founder_id,
       created_at, updated_at, withdrawn_at, views
FROM startups;

-- An event that reached both the platform and Matchbook counts once. Duplicates within the platform stay: the export
-- counts and reports them.
CREATE VIEW matchbook_interactions AS
SELECT user_id, startup_id, interaction_type, created_at AS occurred_at
FROM user_interactions
UNION ALL
SELECT DISTINCT e.user_id, e.startup_id, e.type, e.at
FROM matchbook_events e
WHERE e.type IN ('view', 'click', 'like', 'dislike', 'favorite', 'apply', 'interest')
  AND NOT EXISTS (SELECT 1 FROM user_interactions i
                  WHERE i.startup_id = e.startup_id AND i.user_id = e.user_id
                    AND i.interaction_type = e.type AND i.created_at = e.at);
