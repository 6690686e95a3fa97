"""Erasure of a person from everything that Matchbook stores.

files      snapshots, bundles and stored releases without the person
servers    PostgreSQL: tombstone, then our rows. Redis: successors of loaded releases; every small key
search     every file and every key that still holds the id
erase      all steps, in an order that may be interrupted and repeated; the receipt
"""
