-- Question: how often did answers show this user, and what did the owners of those answers do with it?
-- Parameters: owner uuid; since timestamptz, as_of timestamptz: window of the impressions
-- Columns: surface, method, impressions, viewers (different owners), clicked, converted, declined (impressions with such an event)
-- Order: impressions, descending
-- Index: none: the function, which runs as its owner, uses idx_matchbook_events_user_id and idx_matchbook_events_answer_id
SELECT surface, method, impressions, viewers, clicked, converted, declined
FROM matchbook_earned_by_user(CAST(:owner AS uuid), :since, :as_of)
ORDER BY impressions DESC, surface, method
