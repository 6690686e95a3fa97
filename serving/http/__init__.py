"""The HTTP interface: routes, query parameters, answer bodies, API keys, health, access log and metrics."""
