-- Rejected entries of the event stream that name the person, in any text form of the id.
DELETE FROM matchbook_rejected_events AS e WHERE CAST(e AS text) ~* :spelt
