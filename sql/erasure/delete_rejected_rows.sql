-- Rows of data folders that were set aside and name them.
DELETE FROM matchbook_rejected_rows WHERE position(lower(CAST(:id AS text)) IN lower(content)) > 0
