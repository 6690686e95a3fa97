-- Question: which startups and this user are barred from each other by a dismissal?
-- Parameters: owner uuid, as_of timestamptz
-- Columns: item, at_us (microseconds since 1970 UTC)
-- Order: none, the answer is a set
-- Index: none: the function, which looks in its owner's name, relies on idx_matchbook_events_dismiss
SELECT item, CAST(round(extract(epoch FROM since) * 1000000) AS bigint) AS at_us
FROM matchbook_dismissed_by(CAST(:owner AS uuid), :as_of)
