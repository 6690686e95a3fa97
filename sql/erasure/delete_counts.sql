-- The person's interaction count.
DELETE FROM matchbook_interaction_counts WHERE id = CAST(:id AS uuid)
