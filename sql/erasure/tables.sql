-- Our own tables; the views of the contract and the platform's tables are none.
SELECT quote_ident(relname) FROM pg_class
WHERE relkind = 'r' AND relname LIKE 'matchbook\_%' AND pg_table_is_visible(oid)
ORDER BY relname
