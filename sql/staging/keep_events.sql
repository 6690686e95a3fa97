-- Store posted events, each id once; stored ones do not change. Nothing is stored of erased people.
INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at, received_at, answer_id, position)
SELECT event_id, user_id, startup_id, type, at, received_at, answer_id, position
FROM unnest(CAST(:event_id AS text[]), CAST(:user_id AS uuid[]), CAST(:startup_id AS uuid[]), CAST(:type AS text[]),
            CAST(:at AS timestamptz[]), CAST(:received_at AS timestamptz[]), CAST(:answer_id AS text[]),
            CAST(:position AS smallint[]))
     AS posted (event_id, user_id, startup_id, type, at, received_at, answer_id, position)
WHERE NOT matchbook_was_erased(user_id) AND NOT matchbook_was_erased(startup_id)
ON CONFLICT (event_id) DO NOTHING
