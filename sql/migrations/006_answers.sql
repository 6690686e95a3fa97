-- The answer that led to an event, and the content of that answer: the ledger of docs/guides/experiments.md uses both.
-- An answer's id names nobody (models/lists/answer_id.py); only its events say whose answer it was.
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
