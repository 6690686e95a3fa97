-- events/kinds
-- Question: what is the hash of each event type in `events/coded`?
-- Parameters: kinds text[], the event types; seed int, as there
-- Columns: kind, kind_hash
-- Order: none
-- Index: none: it reads no table
SELECT kind, hashtextextended(kind COLLATE "C", :seed) AS kind_hash
FROM unnest(CAST(:kinds AS text[])) AS kind
