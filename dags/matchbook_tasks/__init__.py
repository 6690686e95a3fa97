"""The parts of the DAG files: tasks, each of which runs one step, and rules that all tasks share."""
