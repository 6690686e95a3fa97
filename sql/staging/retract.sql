-- Events of these pairs that a retraction takes back, whichever of the two came first: those that happened, or that were
-- told of, up to its time. They keep their ids, so that none comes back when it is sent again. An impression stays: it was
-- shown. A time ahead of the clock of receipt is no later than the receipt, on either side.
UPDATE matchbook_events e
SET type = 'retracted ' || e.type
FROM matchbook_events r
WHERE r.type = 'retract' AND r.user_id = e.user_id AND r.startup_id = e.startup_id
  AND (e.user_id, e.startup_id) IN (SELECT * FROM unnest(CAST(:user_id AS uuid[]), CAST(:startup_id AS uuid[])))
  AND e.type NOT IN ('retract', 'impression') AND e.type NOT LIKE 'retracted %'
  AND least(e.at, e.received_at) <= least(r.at, r.received_at)
