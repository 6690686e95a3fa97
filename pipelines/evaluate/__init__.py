"""What the models are worth: who is compared, over whom, by which measures, and the report of it."""
