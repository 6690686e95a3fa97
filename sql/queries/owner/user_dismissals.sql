-- Question: which startups does a dismissal exclude from lists of this user, and the reverse?
-- Parameters: owner uuid, as_of timestamptz
-- Columns: item, at_us (microseconds since 1970 UTC)
-- Order: none, the answer is a set
-- Index: none: the function, which runs as its owner, uses idx_matchbook_events_dismiss
SELECT item, CAST(round(extract(epoch FROM since) * 1000000) AS bigint) AS at_us
FROM matchbook_dismissed_by(CAST(:owner AS uuid), :as_of)
