"""What the outside sees: routes and their parameters, the body of an answer, health, the access log and the metrics."""
