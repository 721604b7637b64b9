"""
Where keys come from and where leases are kept.

Rule of the room: a backend says what a store holds and what changed; it renders nothing and
decides nothing about services. Read in this order: base (what the app sees), cursor (when to
list and when to resume), etcd (the main source), polling and file and env (the small ones),
registry (how a name becomes a source). Nothing here is imported before a source is opened.
"""
