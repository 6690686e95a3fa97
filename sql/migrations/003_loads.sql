-- Which data folder was loaded, so that the same one again is a no-op and another one can be refused.
CREATE TABLE matchbook_loads (
    digest text PRIMARY KEY,
    note jsonb NOT NULL,
    loaded_at timestamptz NOT NULL
);

-- Rows of a data folder that were set aside, each with its place and its reason.
CREATE TABLE matchbook_rejected_rows (
    file text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL
);
