"""The command line, one module a group of steps; each has `register(steps)`."""
