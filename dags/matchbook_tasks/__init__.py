"""What the DAG files are wired from: tasks, each of which calls one step, and the rules that all of them keep."""
