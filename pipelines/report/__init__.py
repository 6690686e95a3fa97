"""Report a build: figures, plots and tables as HTML."""
