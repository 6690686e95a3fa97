-- Interaction counts without a scan (N07): counted once at a cutoff; the few later events are added by index.
CREATE TABLE matchbook_interaction_counts (
    entity text NOT NULL CHECK (entity IN ('user', 'startup')),
    id uuid NOT NULL,
    interactions bigint NOT NULL,
    PRIMARY KEY (entity, id)
);

-- The cutoff of the counts above: one row, or none before the first count.
CREATE TABLE matchbook_counted (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    as_of timestamptz NOT NULL
);
