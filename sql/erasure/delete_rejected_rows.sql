-- Rejected rows of data folders that name the person, in any text form of the id.
DELETE FROM matchbook_rejected_rows AS r WHERE CAST(r AS text) ~* :spelt
