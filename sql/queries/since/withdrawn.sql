-- Question: which startups were withdrawn within a window, and which hidden ones are still withdrawn?
-- Parameters: since timestamptz, the start (exclusive); as_of timestamptz, the end (inclusive); held uuid[], the hidden
-- Columns: id, hidden
-- Order: none
-- Index: idx_startups_withdrawn_at, startups_pkey
-- Note: hidden startups that the platform no longer knows are not in the result: they stay hidden
SELECT startup_id AS id, coalesce(withdrawn_at <= :as_of, false) AS hidden
FROM matchbook_startups
WHERE ((withdrawn_at > :since AND withdrawn_at <= :as_of) OR startup_id = ANY(CAST(:held AS uuid[])))
  AND NOT matchbook_was_erased(startup_id)
