-- Rejected entries of the event stream, each with its id and reason: no valid event, or refused by PostgreSQL.
CREATE TABLE matchbook_rejected_events (
    entry text PRIMARY KEY,
    reason text NOT NULL,
    content text NOT NULL
);
