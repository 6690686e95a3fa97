-- Question: what was shown in answers of one kind to one owner, and with which outcome?
-- Parameters: since timestamptz, as_of timestamptz: window of impressions and acts; attribution_s int, the attribution
-- window in seconds after an impression; same_act_s int, acts of a pair and type within this many seconds are one act that
-- was reported twice; earliest timestamptz, an older birth counts as unknown
-- Columns: surface, method, route, release, experiment, edition, arm, day, owner bigint (a hash of the id), answers,
-- impressions, clicked, applied, converted, liked, disliked, engaged, top (impressions in the first ten), top_engaged,
-- aged (impressions of items whose age is known), age_days (the sum of their ages)
-- Order: none
-- Index: idx_matchbook_events_at
-- Note: an impression is one item in one answer, and an answer is one list on one day. A repeated impression counts once,
-- and so does each kind of act on it. An act that names its answer belongs to it. An act without an answer was done by the
-- person, so it belongs to the last answer that showed the person this startup.
WITH impression AS (
    SELECT answer_id, user_id, startup_id, min(at) AS at, min(position) AS position
    FROM matchbook_events
    WHERE type = 'impression' AND answer_id IS NOT NULL AND at >= :since AND at < :as_of
    GROUP BY answer_id, user_id, startup_id
), shown AS (
    SELECT i.*, a.surface, a.method, a.route, a.release, a.experiment, a.edition, a.arm, a.day,
           a.surface LIKE 'startups/%' AS to_person,
           i.at + make_interval(secs => :attribution_s) AS until,
           lead(i.at, 1, 'infinity') OVER (PARTITION BY a.surface LIKE 'startups/%', i.user_id, i.startup_id
                                           ORDER BY i.at, i.answer_id) AS shown_again
    FROM impression i JOIN matchbook_answers a ON a.answer_id = i.answer_id
), told AS (
    SELECT answer_id, user_id, startup_id, type, at
    FROM matchbook_events
    WHERE answer_id IS NOT NULL AND type <> 'impression' AND type NOT LIKE 'retract%' AND at >= :since AND at < :as_of
), untold AS (
    SELECT i.user_id, i.startup_id, CAST(i.interaction_type AS text) AS type, i.occurred_at AS at
    FROM matchbook_interactions i
    WHERE i.occurred_at >= :since AND i.occurred_at < :as_of AND NOT EXISTS (
        SELECT 1 FROM told t
        WHERE t.user_id = i.user_id AND t.startup_id = i.startup_id AND t.type = CAST(i.interaction_type AS text)
          AND t.at BETWEEN i.occurred_at - make_interval(secs => :same_act_s)
                       AND i.occurred_at + make_interval(secs => :same_act_s))
), act AS (
    SELECT s.answer_id, s.user_id, s.startup_id, t.type, t.at
    FROM shown s JOIN told t ON t.answer_id = s.answer_id AND t.user_id = s.user_id AND t.startup_id = s.startup_id
    WHERE t.at < s.until
    UNION ALL
    SELECT s.answer_id, s.user_id, s.startup_id, u.type, u.at
    FROM shown s JOIN untold u ON u.user_id = s.user_id AND u.startup_id = s.startup_id
    WHERE s.to_person AND u.at >= s.at AND u.at < least(s.until, s.shown_again)
), outcome AS (
    SELECT answer_id, user_id, startup_id, bool_or(type = 'click') AS clicked, bool_or(type = 'apply') AS applied,
           bool_or(type IN ('apply', 'interest')) AS converted, bool_or(type = 'favorite') AS favored,
           coalesce(max(at) FILTER (WHERE type = 'like'), '-infinity') AS liked_at,
           coalesce(max(at) FILTER (WHERE type = 'dislike'), '-infinity') AS disliked_at
    FROM act
    GROUP BY answer_id, user_id, startup_id
), counted AS (
    SELECT s.*, coalesce(o.clicked, false) AS clicked, coalesce(o.applied, false) AS applied,
           coalesce(o.converted, false) AS converted, coalesce(o.liked_at > o.disliked_at, false) AS liked,
           coalesce(o.disliked_at >= o.liked_at AND o.disliked_at > '-infinity', false) AS disliked,
           coalesce(o.clicked OR o.converted OR o.favored OR o.liked_at > o.disliked_at, false) AS engaged,
           coalesce(s.position, 1) <= 10 AS top,
           extract(epoch FROM s.at - born.at) / 86400 AS age_days
    FROM shown s
    LEFT JOIN outcome o ON o.answer_id = s.answer_id AND o.user_id = s.user_id AND o.startup_id = s.startup_id
    LEFT JOIN matchbook_startups c ON s.to_person AND c.startup_id = s.startup_id
    LEFT JOIN matchbook_users p ON NOT s.to_person AND p.user_id = s.user_id
    LEFT JOIN LATERAL (SELECT CASE WHEN s.to_person THEN c.created_at ELSE p.created_at END AS at) AS born
           ON born.at >= :earliest AND born.at <= s.at
)
SELECT surface, method, route, release, experiment, edition, arm, day,
       hashtextextended(CAST(CASE WHEN to_person THEN user_id ELSE startup_id END AS text), 0) AS owner,
       count(DISTINCT answer_id) AS answers,
       count(*) AS impressions,
       count(*) FILTER (WHERE clicked) AS clicked,
       count(*) FILTER (WHERE applied) AS applied,
       count(*) FILTER (WHERE converted) AS converted,
       count(*) FILTER (WHERE liked) AS liked,
       count(*) FILTER (WHERE disliked) AS disliked,
       count(*) FILTER (WHERE engaged) AS engaged,
       count(*) FILTER (WHERE top) AS top,
       count(*) FILTER (WHERE top AND engaged) AS top_engaged,
       count(*) FILTER (WHERE age_days >= 0) AS aged,
       coalesce(sum(age_days) FILTER (WHERE age_days >= 0), 0) AS age_days
FROM counted
GROUP BY surface, method, route, release, experiment, edition, arm, day, to_person,
         CASE WHEN to_person THEN user_id ELSE startup_id END
