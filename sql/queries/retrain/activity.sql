-- Question: how many interactions came in the week before a cutoff, on how many of its days, and since the last build?
-- Parameters: as_of timestamptz, the cutoff (exclusive); week timestamptz, seven days before it; built timestamptz, the cutoff of the last build
-- Columns: week, days (0 to 7), since
-- Order: one row
-- Index: idx_user_interactions_created_at
SELECT count(*) FILTER (WHERE occurred_at >= :week) AS week,
       count(DISTINCT date_bin('1 day', occurred_at, :week)) FILTER (WHERE occurred_at >= :week) AS days,
       count(*) FILTER (WHERE occurred_at >= :built) AS since
FROM matchbook_interactions
WHERE occurred_at >= least(:week, :built) AND occurred_at < :as_of
