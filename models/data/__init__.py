"""What flows through Matchbook: frozen nouns, valid at birth, columnar over a whole batch."""
