-- The key of the marks, and all marks, to check many ids at once.
SELECT key, coalesce(array_agg(mark) FILTER (WHERE mark IS NOT NULL), '{}') AS marks
FROM matchbook_erasure_key LEFT JOIN matchbook_erased ON true
GROUP BY key
