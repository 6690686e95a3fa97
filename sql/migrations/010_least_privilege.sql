-- Whoever may read the contract views may ask whether an id was erased, and needs no right to the key and the marks for
-- it: the function looks at them in its owner's name. The search path is fixed so that nobody can put other tables before
-- ours. Marks themselves are for the pipelines only.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION matchbook_mark(uuid) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION matchbook_was_erased(uuid) SECURITY DEFINER SET search_path = %I, pg_temp',
                   current_schema());
END
$$;

REVOKE ALL ON FUNCTION matchbook_mark(uuid) FROM PUBLIC;
