-- Record that this id is erased; exports and the reader then ignore it.
INSERT INTO matchbook_erased (mark) VALUES (matchbook_mark(CAST(:id AS uuid))) ON CONFLICT DO NOTHING
