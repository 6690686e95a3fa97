-- Pairs of these for which a retraction was ever posted.
SELECT DISTINCT user_id, startup_id
FROM matchbook_events
WHERE type = 'retract'
  AND (user_id, startup_id) IN (SELECT * FROM unnest(CAST(:user_id AS uuid[]), CAST(:startup_id AS uuid[])))
