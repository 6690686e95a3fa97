-- Events of a data folder before their duplicates are known; `line` says where each stood, `at` is in microseconds
-- since 1970, which is written and compared several times faster than an instant as text; `whole_day` where the file
-- tells no time of day.
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
