-- A posted retraction: events of the pair that were posted up to its time no longer count (sql/staging/retract.sql).
-- Rows of the platform's own tables stay. Clients retract with the type `retract`.
CREATE INDEX idx_matchbook_events_retract ON matchbook_events (startup_id, user_id) WHERE type = 'retract';

-- Events that Matchbook received since an instant, whatever their own time is.
CREATE INDEX idx_matchbook_events_received_at ON matchbook_events (received_at);

-- Dismissals in force: they exclude both sides from each other's lists.
CREATE INDEX idx_matchbook_events_dismiss ON matchbook_events (user_id, startup_id) WHERE type = 'dismiss';

CREATE INDEX idx_matchbook_events_dismissed ON matchbook_events (startup_id, user_id) WHERE type = 'dismiss';

-- A role that may read the contract views may ask which ids dismissals exclude, without rights to the events.
CREATE FUNCTION matchbook_dismissed_by(owner uuid, as_of timestamptz)
RETURNS TABLE (item uuid, since timestamptz) LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT startup_id, min(at) FROM matchbook_events
    WHERE type = 'dismiss' AND user_id = owner AND (at < as_of OR received_at < as_of)
    GROUP BY startup_id
$$;

CREATE FUNCTION matchbook_dismissers_of(owner uuid, as_of timestamptz)
RETURNS TABLE (item uuid, since timestamptz) LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT user_id, min(at) FROM matchbook_events
    WHERE type = 'dismiss' AND startup_id = owner AND (at < as_of OR received_at < as_of)
    GROUP BY user_id
$$;

-- A fixed search path: nobody can put other tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION matchbook_dismissed_by(uuid, timestamptz) SET search_path = %I, pg_temp',
                   current_schema());
    EXECUTE format('ALTER FUNCTION matchbook_dismissers_of(uuid, timestamptz) SET search_path = %I, pg_temp',
                   current_schema());
END
$$;
