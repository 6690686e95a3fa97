-- Old rejected entries of the stream; the id of an entry starts with the milliseconds of its time.
DELETE FROM matchbook_rejected_events
WHERE CAST(coalesce(substring(entry FROM '^([0-9]{1,20})-'), '0') AS numeric)
      < extract(epoch FROM CAST(:strangers_before AS timestamptz)) * 1000
