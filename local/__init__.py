"""Programs that `make up` starts on this machine: embedded PostgreSQL and Redis, Airflow, the reader."""
