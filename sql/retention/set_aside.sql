-- Entries of the stream that were set aside long ago; the id of an entry begins with the milliseconds of its time.
DELETE FROM matchbook_rejected_events
WHERE CAST(coalesce(substring(entry FROM '^([0-9]{1,20})-'), '0') AS numeric)
      < extract(epoch FROM CAST(:strangers_before AS timestamptz)) * 1000
