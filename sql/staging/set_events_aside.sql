-- Store rejected entries of the stream, each once.
INSERT INTO matchbook_rejected_events (entry, reason, content)
SELECT entry, reason, content
FROM unnest(CAST(:entry AS text[]), CAST(:reason AS text[]), CAST(:content AS text[])) AS aside (entry, reason, content)
ON CONFLICT (entry) DO NOTHING
