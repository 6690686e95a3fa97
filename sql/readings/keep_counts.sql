-- Change the stored counts to those of `counted_now`. Most stay, so only the others are written.
DELETE FROM matchbook_interaction_counts AS c
WHERE NOT EXISTS (SELECT 1 FROM counted_now n WHERE n.entity = c.entity AND n.id = c.id);

INSERT INTO matchbook_interaction_counts
SELECT entity, id, interactions FROM counted_now
EXCEPT
SELECT entity, id, interactions FROM matchbook_interaction_counts
ON CONFLICT (entity, id) DO UPDATE SET interactions = EXCLUDED.interactions
