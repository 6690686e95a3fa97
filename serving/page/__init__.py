"""The page for people at `/` and the questions only it asks: who is called so, why this, why not that, what changed."""
