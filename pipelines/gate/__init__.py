"""Check a new release before it goes live, and decide."""
