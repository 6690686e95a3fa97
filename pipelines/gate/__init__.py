"""The gate: what a new release is held against before it goes live, what that says, and who decides then."""
