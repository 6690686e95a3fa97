-- Entries of the stream of posted events that are no events, or that PostgreSQL refuses, each with its id and its reason.
CREATE TABLE matchbook_rejected_events (
    entry text PRIMARY KEY,
    reason text NOT NULL,
    content text NOT NULL
);
