-- The rights of builds, imports, drains and erasures: read the contract views, keep tables named matchbook_… beside
-- them, create temporary tables. Run this in the platform's database as its owner after the views exist (missing views
-- are skipped). A repetition changes nothing. Then create one login for the pipelines: CREATE ROLE … LOGIN PASSWORD '…'
-- IN ROLE matchbook_pipeline. It owns the tables that it creates, and may read and write those that another role
-- created.
DO $$
DECLARE
    name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchbook_pipeline') THEN
        CREATE ROLE matchbook_pipeline NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO matchbook_pipeline', current_database());
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO matchbook_pipeline', current_schema());
    FOREACH name IN ARRAY ARRAY['matchbook_users', 'matchbook_startups', 'matchbook_interactions'] LOOP
        IF to_regclass(name) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON %I TO matchbook_pipeline', name);
        END IF;
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = current_schema() AND tablename LIKE 'matchbook\_%'
                  AND tableowner IN (SELECT rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'USAGE')) LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO matchbook_pipeline', name);
    END LOOP;
    IF to_regprocedure('matchbook_mark(uuid)') IS NOT NULL AND pg_has_role(
           current_user, (SELECT proowner FROM pg_proc WHERE oid = to_regprocedure('matchbook_mark(uuid)')), 'USAGE') THEN
        GRANT EXECUTE ON FUNCTION matchbook_mark(uuid), matchbook_was_erased(uuid) TO matchbook_pipeline;
    END IF;
END
$$;
