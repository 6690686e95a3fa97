-- Questions of the console about one person or startup. A role that may read the contract views may ask them without
-- rights to the events and answers: the functions read those as their owner.
CREATE INDEX idx_matchbook_events_shown ON matchbook_events (startup_id, at) WHERE type = 'impression';

-- What answers showed to a person, newest first, and what was done with it. The page before ended at (before, before_event).
CREATE FUNCTION matchbook_shown_to_user(owner uuid, before timestamptz, before_event text, most integer)
RETURNS TABLE (event_id text, at timestamptz, item uuid, place smallint, surface text, method text, release text, arm text,
               acts text)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT i.event_id, i.at, i.startup_id, i.position, a.surface, a.method, a.release, a.arm,
           (SELECT string_agg(DISTINCT e.type, ', ' ORDER BY e.type) FROM matchbook_events e
            WHERE e.answer_id = i.answer_id AND e.user_id = i.user_id AND e.startup_id = i.startup_id
              AND e.type <> 'impression')
    FROM matchbook_events i JOIN matchbook_answers a ON a.answer_id = i.answer_id
    WHERE i.user_id = owner AND i.type = 'impression' AND a.surface LIKE 'startups/%'
      AND i.at <= before AND (i.at, i.event_id) < (before, before_event)
    ORDER BY i.at DESC, i.event_id DESC
    LIMIT most
$$;

-- The same for people shown to a startup.
CREATE FUNCTION matchbook_shown_to_startup(owner uuid, before timestamptz, before_event text, most integer)
RETURNS TABLE (event_id text, at timestamptz, item uuid, place smallint, surface text, method text, release text, arm text,
               acts text)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT i.event_id, i.at, i.user_id, i.position, a.surface, a.method, a.release, a.arm,
           (SELECT string_agg(DISTINCT e.type, ', ' ORDER BY e.type) FROM matchbook_events e
            WHERE e.answer_id = i.answer_id AND e.user_id = i.user_id AND e.startup_id = i.startup_id
              AND e.type <> 'impression')
    FROM matchbook_events i JOIN matchbook_answers a ON a.answer_id = i.answer_id
    WHERE i.startup_id = owner AND i.type = 'impression' AND a.surface NOT LIKE 'startups/%'
      AND i.at <= before AND (i.at, i.event_id) < (before, before_event)
    ORDER BY i.at DESC, i.event_id DESC
    LIMIT most
$$;

-- How often answers of a window showed a startup to people, and what those people did with these answers.
CREATE FUNCTION matchbook_earned_by_startup(item uuid, since timestamptz, until timestamptz)
RETURNS TABLE (surface text, method text, impressions bigint, viewers bigint, clicked bigint, converted bigint,
               declined bigint)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT shown.surface, shown.method, count(*), count(DISTINCT shown.user_id), count(*) FILTER (WHERE acts.clicked),
           count(*) FILTER (WHERE acts.converted), count(*) FILTER (WHERE acts.declined)
    FROM (SELECT DISTINCT i.answer_id, i.user_id, i.startup_id, a.surface, a.method
          FROM matchbook_events i JOIN matchbook_answers a ON a.answer_id = i.answer_id
          WHERE i.startup_id = item AND i.type = 'impression' AND i.at >= since AND i.at < until
            AND a.surface LIKE 'startups/%') AS shown
    LEFT JOIN LATERAL (
        SELECT bool_or(e.type = 'click') AS clicked, bool_or(e.type IN ('apply', 'interest')) AS converted,
               bool_or(e.type IN ('dislike', 'dismiss')) AS declined
        FROM matchbook_events e
        WHERE e.answer_id = shown.answer_id AND e.user_id = shown.user_id AND e.startup_id = shown.startup_id) AS acts ON true
    GROUP BY shown.surface, shown.method
$$;

-- The same for a person in answers to startups.
CREATE FUNCTION matchbook_earned_by_user(item uuid, since timestamptz, until timestamptz)
RETURNS TABLE (surface text, method text, impressions bigint, viewers bigint, clicked bigint, converted bigint,
               declined bigint)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT shown.surface, shown.method, count(*), count(DISTINCT shown.startup_id), count(*) FILTER (WHERE acts.clicked),
           count(*) FILTER (WHERE acts.converted), count(*) FILTER (WHERE acts.declined)
    FROM (SELECT DISTINCT i.answer_id, i.user_id, i.startup_id, a.surface, a.method
          FROM matchbook_events i JOIN matchbook_answers a ON a.answer_id = i.answer_id
          WHERE i.user_id = item AND i.type = 'impression' AND i.at >= since AND i.at < until
            AND a.surface NOT LIKE 'startups/%') AS shown
    LEFT JOIN LATERAL (
        SELECT bool_or(e.type = 'click') AS clicked, bool_or(e.type IN ('apply', 'interest')) AS converted,
               bool_or(e.type IN ('dislike', 'dismiss')) AS declined
        FROM matchbook_events e
        WHERE e.answer_id = shown.answer_id AND e.user_id = shown.user_id AND e.startup_id = shown.startup_id) AS acts ON true
    GROUP BY shown.surface, shown.method
$$;

-- A fixed search path: nobody can put other tables before ours.
DO $$
DECLARE
    of_ours regprocedure;
BEGIN
    FOREACH of_ours IN ARRAY ARRAY[
        'matchbook_shown_to_user(uuid, timestamptz, text, integer)',
        'matchbook_shown_to_startup(uuid, timestamptz, text, integer)',
        'matchbook_earned_by_startup(uuid, timestamptz, timestamptz)',
        'matchbook_earned_by_user(uuid, timestamptz, timestamptz)']::regprocedure[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', of_ours, current_schema());
    END LOOP;
END
$$;
