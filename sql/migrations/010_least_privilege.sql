-- A role that may read the contract views may ask whether an id was erased, without rights to the key and the marks:
-- the function reads them as its owner. The search path is fixed so that nobody can put other tables before ours. Only
-- the pipelines may compute marks.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION matchbook_mark(uuid) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION matchbook_was_erased(uuid) SECURITY DEFINER SET search_path = %I, pg_temp',
                   current_schema());
END
$$;

REVOKE ALL ON FUNCTION matchbook_mark(uuid) FROM PUBLIC;
