-- The rights of the reader: read the three contract views, ask whether an id was erased, which owners or items
-- dismissals exclude for an id, and what answers showed to it. Run this in the platform's database as the owner of the
-- views, after the first build or import created Matchbook's own tables. A repetition changes nothing. Then create a
-- login for the reader: CREATE ROLE … LOGIN PASSWORD '…' IN ROLE matchbook_reader.
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
    matchbook_dismissers_of(uuid, timestamptz), matchbook_shown_to_user(uuid, timestamptz, text, integer),
    matchbook_shown_to_startup(uuid, timestamptz, text, integer),
    matchbook_earned_by_user(uuid, timestamptz, timestamptz),
    matchbook_earned_by_startup(uuid, timestamptz, timestamptz) TO matchbook_reader;
