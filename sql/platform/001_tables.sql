-- A platform for the sample marketplace and for data folders. Applied only if the database has neither these tables nor
-- a contract view. As on many platforms, no key or check validates the events: the export does.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    role text NOT NULL,
    created_at timestamptz,
    updated_at timestamptz,
    name text,
    headline text,
    skills text,
    interests text,
    location text,
    opted_out_at timestamptz
);

CREATE TABLE startups (
    id uuid PRIMARY KEY,
    name text,
    description text,
    category text,
    field text,
    type text,
    tags text,
    stage text,
    location text,
    founder_id uuid,
    created_at timestamptz,
    updated_at timestamptz,
    withdrawn_at timestamptz,
    views bigint
);

CREATE TABLE user_interactions (
    user_id uuid NOT NULL,
    startup_id uuid NOT NULL,
    interaction_type text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Required indexes (N09, N10). The requirements name the second one twice; this is its only name (R26). With the time
-- after the user, a count since a cutoff reads only later rows.
CREATE INDEX idx_user_interactions_user_id ON user_interactions (user_id, created_at);

CREATE INDEX idx_user_interactions_startup_user ON user_interactions (startup_id, user_id);

CREATE INDEX idx_user_interactions_startup_at ON user_interactions (startup_id, created_at);

-- Events arrive ordered by time, so a few kilobytes find the pages before an early cutoff.
CREATE INDEX idx_user_interactions_created_at ON user_interactions USING brin (created_at);
