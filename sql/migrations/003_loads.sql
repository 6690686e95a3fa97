-- The imported data folder: the same one again changes nothing, another one is refused.
CREATE TABLE matchbook_loads (
    digest text PRIMARY KEY,
    note jsonb NOT NULL,
    loaded_at timestamptz NOT NULL
);

-- Rejected rows of a data folder, each with its place and reason.
CREATE TABLE matchbook_rejected_rows (
    file text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    content text NOT NULL
);
