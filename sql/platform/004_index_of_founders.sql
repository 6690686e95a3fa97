-- The startups of a founder, who is never shown them: asked once for each list computed live, and by the console. A hash
-- index serves only this question.
CREATE INDEX idx_startups_founder_id ON startups USING hash (founder_id);
