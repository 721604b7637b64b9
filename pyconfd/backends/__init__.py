"""
Where keys come from and where leases are kept.

A backend reports the contents of a store and their changes; it renders nothing and decides nothing
about services. Read in this order: base (the interface), etcd (the main source; its cursor decides
when to list and when to resume), polling, file and env (the small sources), registry (from a name
to a source). Nothing here is imported before a source is opened.
"""
