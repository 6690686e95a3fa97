"""The reader measured: under gunicorn beside a bare route, and its live lists."""
