-- Question: which startups and this user are barred from each other by a dismissal?
-- Parameters: owner uuid, as_of timestamptz
-- Columns: item, at_us (microseconds since 1970 UTC)
-- Order: none, the answer is a set
-- Index: idx_matchbook_events_dismiss
SELECT startup_id AS item, CAST(round(extract(epoch FROM min(at)) * 1000000) AS bigint) AS at_us
FROM matchbook_dismissals
WHERE user_id = CAST(:owner AS uuid) AND (at < :as_of OR received_at < :as_of)
GROUP BY startup_id
