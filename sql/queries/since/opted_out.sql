-- Question: who opted out within a window, and which hidden people are still opted out?
-- Parameters: since timestamptz, the start (exclusive); as_of timestamptz, the end (inclusive); held uuid[], the hidden
-- Columns: id, hidden
-- Order: none
-- Index: idx_users_opted_out_at, users_pkey
-- Note: hidden people that the platform no longer knows are not in the result: they stay hidden
SELECT user_id AS id, coalesce(opted_out_at <= :as_of, false) AS hidden
FROM matchbook_users
WHERE ((opted_out_at > :since AND opted_out_at <= :as_of) OR user_id = ANY(CAST(:held AS uuid[])))
  AND NOT matchbook_was_erased(user_id)
