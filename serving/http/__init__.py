"""Serve the HTTP API: routes, parameters, answer bodies, API keys, health, access log and metrics."""
