-- Run once by the PostgreSQL image, when its volume is empty: Airflow keeps its metadata beside Matchbook's database.
CREATE DATABASE airflow;
