-- Store a reading of every startup's counter that changed by a tenth or more since its last reading, at least 20 hours
-- ago. A growing counter needs about 25 readings for each factor of ten; one that oscillates stops at :most, and its
-- first readings stay. Erased startups are left out. The instant is taken after the statement's snapshot of the data,
-- so a reading is never older than its value.
WITH now AS MATERIALIZED (SELECT clock_timestamp() AS at)
INSERT INTO matchbook_view_readings (startup_id, read_at, views)
SELECT s.startup_id, now.at, s.views
FROM now
CROSS JOIN (SELECT startup_id, max(views) AS views FROM matchbook_startups WHERE views >= 0 GROUP BY startup_id) s
LEFT JOIN LATERAL (
    SELECT r.views, r.read_at FROM matchbook_view_readings r
    WHERE r.startup_id = s.startup_id ORDER BY r.read_at DESC LIMIT 1) last ON true
WHERE (last.read_at IS NULL
       OR (last.read_at < now.at - interval '20 hours' AND abs(s.views - last.views) >= greatest(last.views, 1) / 10.0
           AND (SELECT count(*) FROM matchbook_view_readings r WHERE r.startup_id = s.startup_id) < :most))
  AND s.startup_id IS NOT NULL AND NOT matchbook_was_erased(s.startup_id)
ON CONFLICT DO NOTHING
