-- Mark events of these pairs that a retraction takes back, in any order of arrival: those that happened or were
-- received up to its time. They keep their ids, so a repeated post does not restore them. Impressions stay. A time
-- ahead of the time of receipt counts as the time of receipt, on both sides.
UPDATE matchbook_events e
SET type = 'retracted ' || e.type
FROM matchbook_events r
WHERE r.type = 'retract' AND r.user_id = e.user_id AND r.startup_id = e.startup_id
  AND (e.user_id, e.startup_id) IN (SELECT * FROM unnest(CAST(:user_id AS uuid[]), CAST(:startup_id AS uuid[])))
  AND e.type NOT IN ('retract', 'impression') AND e.type NOT LIKE 'retracted %'
  AND least(e.at, e.received_at) <= least(r.at, r.received_at)
