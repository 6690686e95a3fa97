-- The platform's view counter as exports read it, so that its value is known at any later instant. Rows of a startup
-- are only added (sql/readings/keep.sql), so whether there is one at an instant does not depend on later data.
CREATE TABLE matchbook_view_readings (
    startup_id uuid NOT NULL,
    read_at timestamptz NOT NULL,
    views bigint NOT NULL,
    PRIMARY KEY (startup_id, read_at)
);
