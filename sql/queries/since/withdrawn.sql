-- Question: which startups were withdrawn within a window, and which of those that are hidden are still withdrawn?
-- Parameters: since timestamptz, the start (exclusive); as_of timestamptz, the end (inclusive); held uuid[], the hidden
-- Columns: id, hidden
-- Order: none
-- Index: idx_startups_withdrawn_at, startups_pkey
-- Note: a hidden startup that the platform knows no longer is not in the answer: it stays hidden
SELECT startup_id AS id, coalesce(withdrawn_at <= :as_of, false) AS hidden
FROM matchbook_startups
WHERE ((withdrawn_at > :since AND withdrawn_at <= :as_of) OR startup_id = ANY(CAST(:held AS uuid[])))
  AND NOT matchbook_was_erased(startup_id)
