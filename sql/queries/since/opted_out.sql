-- Question: who opted out within a window, and who of those that are hidden is still out?
-- Parameters: since timestamptz, the start (exclusive); as_of timestamptz, the end (inclusive); held uuid[], the hidden
-- Columns: id, hidden
-- Order: none
-- Index: idx_users_opted_out_at, users_pkey
-- Note: whoever is hidden and not known to the platform any more is not in the answer: they stay hidden
SELECT user_id AS id, coalesce(opted_out_at <= :as_of, false) AS hidden
FROM matchbook_users
WHERE ((opted_out_at > :since AND opted_out_at <= :as_of) OR user_id = ANY(CAST(:held AS uuid[])))
  AND NOT matchbook_was_erased(user_id)
