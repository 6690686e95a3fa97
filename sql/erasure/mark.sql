-- The keyed hash of an id.
SELECT matchbook_mark(CAST(:id AS uuid))
