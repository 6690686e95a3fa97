-- Events of a data folder before duplicates are removed. `line`: line in the file. `at`: microseconds since 1970,
-- several times faster to write and compare than an instant as text. `whole_day`: the file gives no time of day.
SET LOCAL work_mem = '128MB';

SET LOCAL maintenance_work_mem = '256MB';

CREATE TEMPORARY TABLE staged_interactions (
    line bigint NOT NULL,
    user_id uuid NOT NULL,
    startup_id uuid NOT NULL,
    interaction_type text NOT NULL,
    at bigint NOT NULL,
    whole_day boolean NOT NULL
) ON COMMIT DROP
