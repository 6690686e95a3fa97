"""The report of a build: figures, plots and tables as HTML."""
