"""
etcd: keys by listing and watching, leases for registration, status for people.

Read in this order: source (the entry), channel with endpoints, link and login (connections),
listing, watch with watch_session, follower, probe and stream (changes), cursor, fence and throttle
(pure: when to list, to resume, to hold back, to gather), leases. Only this package imports grpc and
protobuf.
"""
