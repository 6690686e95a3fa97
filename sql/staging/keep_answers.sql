-- Store decoded answer ids once each, if an event with the id was stored: nothing is stored of erased people.
INSERT INTO matchbook_answers (answer_id, surface, method, route, release, live, day, experiment, edition, arm)
SELECT answer_id, surface, method, route, release, live, day, experiment, edition, arm
FROM unnest(CAST(:answer_id AS text[]), CAST(:surface AS text[]), CAST(:method AS text[]), CAST(:route AS text[]),
            CAST(:release AS text[]), CAST(:live AS boolean[]), CAST(:day AS date[]), CAST(:experiment AS text[]),
            CAST(:edition AS text[]), CAST(:arm AS text[]))
     AS told (answer_id, surface, method, route, release, live, day, experiment, edition, arm)
WHERE EXISTS (SELECT 1 FROM matchbook_events e WHERE e.answer_id = told.answer_id)
ON CONFLICT (answer_id) DO NOTHING
