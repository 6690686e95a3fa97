-- Roles that may log in to PostgreSQL, and what each owns. The service `roles` runs this at every start. It may run at any
-- time, also on volumes of version 1.0, where the superuser owned everything.
--   matchbook_owner     owns the database `matchbook`: migrations, loading data
--   matchbook_pipeline  builds, drains, erases: what sql/grants/pipeline.sql says
--   matchbook_reader    answers: what sql/grants/reader.sql says
--   airflow             owns the database `airflow`, and may connect to no other
-- A password changed in .env takes effect at the next start.
\set ON_ERROR_STOP on
\getenv owner_secret POSTGRES_OWNER_PASSWORD
\getenv pipeline_secret POSTGRES_PIPELINE_PASSWORD
\getenv reader_secret POSTGRES_READER_PASSWORD
\getenv airflow_secret POSTGRES_AIRFLOW_PASSWORD
SET log_min_error_statement = panic; -- no password in the server's log, even after an error

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('matchbook_owner'), ('matchbook_pipeline'), ('matchbook_reader'), ('airflow')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE matchbook_owner LOGIN PASSWORD :'owner_secret';
ALTER ROLE matchbook_pipeline LOGIN PASSWORD :'pipeline_secret';
ALTER ROLE matchbook_reader LOGIN PASSWORD :'reader_secret';
ALTER ROLE airflow LOGIN PASSWORD :'airflow_secret';

SELECT 'CREATE DATABASE airflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'airflow') \gexec
ALTER DATABASE airflow OWNER TO airflow;
ALTER DATABASE matchbook OWNER TO matchbook_owner;
REVOKE ALL ON DATABASE airflow, matchbook, postgres FROM PUBLIC;

\connect matchbook
\set new_owner matchbook_owner
\ir ownership.sql
\connect airflow
\set new_owner airflow
\ir ownership.sql
