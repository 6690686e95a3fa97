"""The reader measured: beside a bare route, beside slow clients, and its live lists."""
