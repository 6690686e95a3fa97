"""What models learn from and are asked about."""
