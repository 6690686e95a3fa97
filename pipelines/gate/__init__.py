"""The gate: checks of a new release before it goes live, their verdict, and the decision."""
