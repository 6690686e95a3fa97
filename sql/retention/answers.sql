-- Old answers that no stored event names.
DELETE FROM matchbook_answers a
WHERE a.day < CAST(:shown_before AS date) AND NOT EXISTS (SELECT 1 FROM matchbook_events e WHERE e.answer_id = a.answer_id)
