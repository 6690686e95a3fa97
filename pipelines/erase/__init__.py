"""Erase a person from everything that Matchbook stores.

files      make successors of snapshots, bundles and stored releases without the person
servers    PostgreSQL: set the tombstone, delete our rows. Redis: replace loaded releases, clean every small key
search     find every file and key that still holds the id
erase      run all steps in an order that may be interrupted and repeated; write the receipt
"""
