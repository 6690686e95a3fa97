-- Question: which events were posted that were received or happened within a window?
-- Parameters: since timestamptz, the start (inclusive); as_of timestamptz, the end (exclusive)
-- Columns: user_id, startup_id, interaction_type, occurred_at (time of receipt)
-- Order: none
-- Index: idx_matchbook_events_at, idx_matchbook_events_received_at
-- Note: dismissals are no interactions, so no view has them; events with an old time are outside the window of the view
SELECT user_id, startup_id, type AS interaction_type, received_at AS occurred_at
FROM matchbook_events
WHERE (received_at >= :since OR (at >= :since AND at < :as_of)) AND type NOT LIKE 'retract%' AND type <> 'impression'
  AND NOT matchbook_was_erased(user_id) AND NOT matchbook_was_erased(startup_id)
