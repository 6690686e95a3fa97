-- Events that only have a day may be several on that day: equal ones are placed one microsecond apart, in the order of
-- the file.
WITH turn AS (
    SELECT line, row_number() OVER (PARTITION BY user_id, startup_id, interaction_type, at ORDER BY line) - 1 AS after
    FROM staged_interactions
    WHERE whole_day
)
UPDATE staged_interactions s
SET at = s.at + turn.after
FROM turn
WHERE s.line = turn.line AND turn.after > 0
