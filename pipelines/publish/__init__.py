"""From scored shards to lists that are live: assemble, verify, load, switch, roll back, retire."""
