-- A posted retraction: what was posted of the pair up to its time counts no more (sql/staging/retract.sql). The rows of the
-- platform's own tables are the platform's and stay. Whoever retracts says so to the reader: type `retract`.
CREATE INDEX idx_matchbook_events_retract ON matchbook_events (startup_id, user_id) WHERE type = 'retract';

-- What came to Matchbook since an instant, whatever time it was given.
CREATE INDEX idx_matchbook_events_received_at ON matchbook_events (received_at);

-- Dismissals in force: they bar the two from each other's lists.
CREATE INDEX idx_matchbook_events_dismiss ON matchbook_events (user_id, startup_id) WHERE type = 'dismiss';

CREATE INDEX idx_matchbook_events_dismissed ON matchbook_events (startup_id, user_id) WHERE type = 'dismiss';

-- Whoever may read the contract views may ask from whom or what an id is barred, and needs no right to the events for it.
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

-- Nobody can put other tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION matchbook_dismissed_by(uuid, timestamptz) SET search_path = %I, pg_temp',
                   current_schema());
    EXECUTE format('ALTER FUNCTION matchbook_dismissers_of(uuid, timestamptz) SET search_path = %I, pg_temp',
                   current_schema());
END
$$;
