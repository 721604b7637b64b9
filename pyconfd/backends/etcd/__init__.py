"""
etcd: keys by listing and watching, leases for registration, status for people.

Read in this order: source (the entry), channel and endpoints (connections), listing, watch with
watch_session, follower and stream (changes), cursor and throttle (pure: when to list, when to
resume, when to gather), leases. Only this room imports etcd3, grpc and protobuf.
"""
