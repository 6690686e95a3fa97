-- Question: what did answers show to this startup, newest first, and what was done with it?
-- Parameters: owner uuid; before timestamptz, before_event text: the last entry of the page before; most int
-- Columns: event_id, at, item, place, surface, method, release, arm, acts (types of events, separated by commas)
-- Order: at and event_id, descending
-- Index: none: the function, which runs as its owner, uses idx_matchbook_events_shown and idx_matchbook_events_answer_id
SELECT event_id, at, item, place, surface, method, release, arm, acts
FROM matchbook_shown_to_startup(CAST(:owner AS uuid), :before, :before_event, :most)
