-- Our own tables, without the contract views and the platform's tables.
SELECT quote_ident(relname) FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'matchbook\_%' AND pg_table_is_visible(oid)
ORDER BY relname
