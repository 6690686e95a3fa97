-- Question: which startups were created within a window, or at an unknown time?
-- Parameters: since timestamptz, the start (inclusive); as_of timestamptz, the end (exclusive); earliest timestamptz, an older birth counts as blank
-- Columns: id
-- Order: none, the answer is a set
-- Index: idx_startups_created_at
SELECT startup_id AS id
FROM matchbook_startups
WHERE (created_at IS NULL OR created_at < :earliest OR (created_at >= :since AND created_at < :as_of)) AND NOT matchbook_was_erased(startup_id)
