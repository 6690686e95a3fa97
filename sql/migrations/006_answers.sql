-- Which answer an event came of, and what that answer was: the ledger of docs/guides/experiments.md is made of both. The id of an
-- answer names nobody (models/lists/answer_id.py); whose it was, only the events with it say.
ALTER TABLE matchbook_events ADD COLUMN answer_id text, ADD COLUMN position smallint;

CREATE INDEX idx_matchbook_events_answer_id ON matchbook_events (answer_id) WHERE answer_id IS NOT NULL;

CREATE TABLE matchbook_answers (
    answer_id text PRIMARY KEY,
    surface text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    release text NOT NULL,
    live boolean NOT NULL,
    day date NOT NULL,
    experiment text,
    edition text,
    arm text
);
