"""Taking a person out of everything that Matchbook keeps.

person     who it is: the id, the keyed hash that stands for it, the blank left in id tables
rows       PostgreSQL: tombstone first, then events, counts, rejected rows
bundles    a bundle without the person
snapshots  a snapshot without the person
releases   stored releases without the person, made of both
loaded     Redis: the successors take the place of what is loaded; every small key
search     every file and every key that still holds the id
receipt    what was removed, where, and by what it was replaced
erase      all of it, in an order that may be cut off anywhere and begun again
"""
