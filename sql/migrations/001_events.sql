-- Events posted to the reader; never the platform's own table. `type` may also be an impression or a dismissal: those
-- filter and measure, and the interactions view leaves them out.
CREATE TABLE matchbook_events (
    event_id text PRIMARY KEY,
    user_id uuid NOT NULL,
    startup_id uuid NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_matchbook_events_user_id ON matchbook_events (user_id, at);

CREATE INDEX idx_matchbook_events_startup_user ON matchbook_events (startup_id, user_id);

CREATE INDEX idx_matchbook_events_at ON matchbook_events (at);
