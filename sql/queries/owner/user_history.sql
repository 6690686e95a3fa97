-- Question: what happened between this user and startups, newest first?
-- Parameters: owner uuid; since timestamptz, older events do not count; before timestamptz, before_id uuid, before_kind text: the last entry of the page before; most int
-- Columns: item, kind, at
-- Order: at, item and kind, descending
-- Index: idx_user_interactions_user_id
SELECT startup_id AS item, interaction_type AS kind, occurred_at AS at
FROM matchbook_interactions
WHERE user_id = CAST(:owner AS uuid) AND occurred_at >= :since AND occurred_at <= :before
  AND (occurred_at, startup_id, interaction_type) < (:before, CAST(:before_id AS uuid), :before_kind)
ORDER BY occurred_at DESC, startup_id DESC, interaction_type DESC
LIMIT :most
