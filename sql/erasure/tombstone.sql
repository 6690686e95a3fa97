-- Note that this id is erased; from here on neither exports nor the reader know it.
INSERT INTO matchbook_erased (mark) VALUES (matchbook_mark(CAST(:id AS uuid))) ON CONFLICT DO NOTHING
