-- Question: when did the newest plausible event before an instant happen?
-- Parameters: as_of timestamptz, the instant; earliest timestamptz, before which no event is plausible
-- Columns: newest
-- Order: one row; null without any event
-- Index: idx_user_interactions_created_at
SELECT max(occurred_at) AS newest
FROM matchbook_interactions
WHERE occurred_at >= :earliest AND occurred_at < :as_of
