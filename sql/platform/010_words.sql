-- Search by the words of names, without a scan.
CREATE INDEX idx_users_words ON users
    USING gin (to_tsvector('simple', coalesce(name, '') || ' ' || coalesce(headline, '')));

CREATE INDEX idx_startups_words ON startups USING gin (to_tsvector('simple', coalesce(name, '')));
