-- Question: is there a plausible event before an instant?
-- Parameters: as_of timestamptz, the instant; earliest timestamptz, before which no event is plausible
-- Columns: found
-- Order: one row
-- Index: idx_user_interactions_created_at
-- Note: the index answers for an instant before all events; for a later one the first matching row ends the search
SELECT EXISTS (SELECT 1 FROM matchbook_interactions WHERE occurred_at >= :earliest AND occurred_at < :as_of) AS found
