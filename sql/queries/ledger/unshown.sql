-- Question: how many acts name an answer without a recorded impression of the item?
-- Parameters: since timestamptz, as_of timestamptz: window of the acts
-- Columns: acts
-- Order: one row
-- Index: idx_matchbook_events_answer_id
SELECT count(*) AS acts
FROM matchbook_events e
WHERE e.answer_id IS NOT NULL AND e.type <> 'impression' AND e.type NOT LIKE 'retract%' AND e.at >= :since AND e.at < :as_of AND NOT EXISTS (
    SELECT 1 FROM matchbook_events i
    WHERE i.answer_id = e.answer_id AND i.user_id = e.user_id AND i.startup_id = e.startup_id AND i.type = 'impression')
