-- Old posted events of people or startups that the platform does not know: they train nothing and exclude nobody.
-- Events of known ids stay, and so do their dismissals.
DELETE FROM matchbook_events e
WHERE e.received_at < :strangers_before
  AND (NOT EXISTS (SELECT 1 FROM matchbook_users u WHERE u.user_id = e.user_id)
       OR NOT EXISTS (SELECT 1 FROM matchbook_startups s WHERE s.startup_id = e.startup_id))
