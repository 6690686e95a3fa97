-- Rows of data folders that were set aside and name them, however they spell the id.
DELETE FROM matchbook_rejected_rows AS r WHERE CAST(r AS text) ~* :spelt
