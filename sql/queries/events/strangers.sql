-- Question: how many different interactions before a cutoff were posted for people or startups that the platform does
-- not know?
-- Parameters: as_of timestamptz, the cutoff; kinds text[], the event types that are interactions
-- Columns: unknown_rows
-- Order: one row
-- Index: idx_matchbook_events_at
SELECT count(*) AS unknown_rows
FROM (SELECT DISTINCT e.user_id, e.startup_id, e.type, e.at
      FROM matchbook_events e
      WHERE e.at < :as_of AND e.type = ANY(:kinds)
        AND NOT matchbook_was_erased(e.user_id) AND NOT matchbook_was_erased(e.startup_id)
        AND (NOT EXISTS (SELECT 1 FROM matchbook_users u WHERE u.user_id = e.user_id)
             OR NOT EXISTS (SELECT 1 FROM matchbook_startups s WHERE s.startup_id = e.startup_id))) AS posted
