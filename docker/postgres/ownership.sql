-- Gives :new_owner the schema `public` and everything that the superuser made in it: relations (the sequence of a
-- column follows its table), functions, enumerations. A repetition changes nothing.
ALTER SCHEMA public OWNER TO :"new_owner";

SELECT format('ALTER %s %s OWNER TO %I',
              CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
              c.oid::regclass, :'new_owner')
FROM pg_class c
WHERE relnamespace = 'public'::regnamespace AND relowner = current_user::regrole AND relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                    AND (d.deptype = 'e' OR c.relkind = 'S' AND d.deptype IN ('a', 'i')))
UNION ALL
SELECT format('ALTER FUNCTION %s OWNER TO %I', p.oid::regprocedure, :'new_owner')
FROM pg_proc p
WHERE pronamespace = 'public'::regnamespace AND proowner = current_user::regrole AND prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT format('ALTER TYPE %s OWNER TO %I', t.oid::regtype, :'new_owner')
FROM pg_type t
WHERE typnamespace = 'public'::regnamespace AND typowner = current_user::regrole AND typtype = 'e' \gexec
