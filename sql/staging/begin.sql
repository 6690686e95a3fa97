-- Events of a data folder before their duplicates are known; `line` says where each stood.
CREATE TEMPORARY TABLE staged_interactions (
    line bigint NOT NULL,
    user_id uuid NOT NULL,
    startup_id uuid NOT NULL,
    interaction_type text NOT NULL,
    created_at timestamptz NOT NULL
) ON COMMIT DROP
