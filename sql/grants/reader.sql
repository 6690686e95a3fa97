-- What the reader may do, and nothing else: read the three contract views, ask whether an id was erased, and from whom or
-- what one is barred by a dismissal. Run it in the
-- platform's database as whoever owns the views, after the first build or import made Matchbook's own tables; again is a
-- no-op. Then give the reader a login of its own: CREATE ROLE … LOGIN PASSWORD '…' IN ROLE matchbook_reader.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchbook_reader') THEN
        CREATE ROLE matchbook_reader NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO matchbook_reader', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO matchbook_reader', current_schema());
END
$$;

GRANT SELECT ON matchbook_users, matchbook_startups, matchbook_interactions TO matchbook_reader;

GRANT EXECUTE ON FUNCTION matchbook_was_erased(uuid), matchbook_dismissed_by(uuid, timestamptz),
    matchbook_dismissers_of(uuid, timestamptz) TO matchbook_reader;
