-- Of events with the same user, startup, type and time the first line stays; the others are deleted and returned.
WITH repeated AS (
    SELECT user_id, startup_id, interaction_type, at, min(line) AS first
    FROM staged_interactions
    GROUP BY user_id, startup_id, interaction_type, at
    HAVING count(*) > 1
)
DELETE FROM staged_interactions s
USING repeated r
WHERE s.user_id = r.user_id AND s.startup_id = r.startup_id AND s.interaction_type = r.interaction_type
  AND s.at = r.at AND s.line > r.first
RETURNING 'interactions.csv' AS file, s.line, 'duplicate event' AS reason,
          concat_ws(',', s.user_id, s.startup_id, s.interaction_type,
                    to_char(timestamptz 'epoch' + s.at * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS content
