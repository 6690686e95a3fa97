-- A posted retraction: what was posted of the pair up to its time counts no more (sql/staging/retract.sql). The rows of the
-- platform's own tables are the platform's and stay. Whoever retracts says so to the reader: type `retract`.
CREATE INDEX idx_matchbook_events_retract ON matchbook_events (startup_id, user_id) WHERE type = 'retract';

-- What came to Matchbook since an instant, whatever time it was given.
CREATE INDEX idx_matchbook_events_received_at ON matchbook_events (received_at);

-- Dismissals in force: they bar the two from each other's lists. The reader needs SELECT on it, not on the events.
CREATE INDEX idx_matchbook_events_dismiss ON matchbook_events (user_id, startup_id) WHERE type = 'dismiss';

CREATE INDEX idx_matchbook_events_dismissed ON matchbook_events (startup_id, user_id) WHERE type = 'dismiss';

CREATE VIEW matchbook_dismissals AS
SELECT user_id, startup_id, at, received_at
FROM matchbook_events
WHERE type = 'dismiss';
