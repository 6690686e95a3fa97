-- The platform's running counter of views, as exports read it: what Matchbook itself saw is known as of any later instant.
-- Rows of one startup are only added (sql/readings/keep.sql), so that whether there is one at an instant depends on
-- nothing that came after.
CREATE TABLE matchbook_view_readings (
    startup_id uuid NOT NULL,
    read_at timestamptz NOT NULL,
    views bigint NOT NULL,
    PRIMARY KEY (startup_id, read_at)
);
