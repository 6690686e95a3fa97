"""A sample marketplace with known preferences: users act mostly, but not always, on their interests."""
