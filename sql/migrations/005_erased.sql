-- Erased ids as keyed hashes: they do not reveal an id, but a given id can be recognised. Exports and the reader leave
-- these ids out, although the platform may still name them.
CREATE TABLE matchbook_erasure_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL
);

INSERT INTO matchbook_erasure_key (key) SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());

CREATE TABLE matchbook_erased (
    mark text PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE FUNCTION matchbook_mark(id uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT left(encode(sha256(key || uuid_send(id)), 'hex'), 32) FROM matchbook_erasure_key
$$;

CREATE FUNCTION matchbook_was_erased(id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM matchbook_erased WHERE mark = matchbook_mark(id))
$$;
