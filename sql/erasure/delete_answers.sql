-- Decoded answer ids of this person (or startup): they name nobody, but nothing uses them any more. Runs before the
-- events are deleted, because only events say whose answers they were.
DELETE FROM matchbook_answers a
USING matchbook_events e
WHERE e.answer_id = a.answer_id
  AND CAST(:id AS uuid) = CASE WHEN a.surface LIKE 'startups/%' THEN e.user_id ELSE e.startup_id END
  AND NOT EXISTS (
      SELECT 1 FROM matchbook_events o
      WHERE o.answer_id = a.answer_id
        AND CAST(:id AS uuid) <> CASE WHEN a.surface LIKE 'startups/%' THEN o.user_id ELSE o.startup_id END)
