-- Delete readings of startups that the platform deleted at least :days days ago.
DELETE FROM matchbook_view_readings r
WHERE NOT EXISTS (SELECT 1 FROM matchbook_startups s WHERE s.startup_id = r.startup_id)
  AND NOT EXISTS (SELECT 1 FROM matchbook_view_readings l
                  WHERE l.startup_id = r.startup_id
                    AND l.read_at >= clock_timestamp() - make_interval(days => :days))
