-- Copy the remaining events to the platform's table in the order of the file.
INSERT INTO user_interactions (user_id, startup_id, interaction_type, created_at)
SELECT user_id, startup_id, interaction_type, timestamptz 'epoch' + at * interval '1 microsecond'
FROM staged_interactions
