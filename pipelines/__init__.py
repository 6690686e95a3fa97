"""The verbs that write, in order: load, export, train, evaluate, score, publish. Each also runs as a command."""
