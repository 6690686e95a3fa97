"""From scored shards to live lists: assemble, verify, load, switch, roll back, retire."""
