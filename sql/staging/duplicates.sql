-- Of events with the same user, startup, type and time the first line stays; the others leave with their lines.
WITH repeated AS (
    SELECT user_id, startup_id, interaction_type, created_at, min(line) AS first
    FROM staged_interactions
    GROUP BY user_id, startup_id, interaction_type, created_at
    HAVING count(*) > 1
)
DELETE FROM staged_interactions s
USING repeated r
WHERE s.user_id = r.user_id AND s.startup_id = r.startup_id AND s.interaction_type = r.interaction_type
  AND s.created_at = r.created_at AND s.line > r.first
RETURNING 'interactions.csv' AS file, s.line, 'duplicate event' AS reason,
          concat_ws(',', s.user_id, s.startup_id, s.interaction_type,
                    to_char(s.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS content
