-- Names by the words in them: what somebody types on the page is found without reading everybody.
CREATE INDEX idx_users_words ON users
    USING gin (to_tsvector('simple', coalesce(name, '') || ' ' || coalesce(headline, '')));

CREATE INDEX idx_startups_words ON startups USING gin (to_tsvector('simple', coalesce(name, '')));
