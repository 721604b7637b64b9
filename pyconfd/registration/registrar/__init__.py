"""
The registrar: it keeps members' keys in the store under leases.

Read in this order: lease_session and member (pure machines), registrar (the thread), inbox with
schedule (what it does next), lease_driver, member_driver and health_driver (carry out what the
machines command), store_client, health_monitor, probes, roster, pool.
"""
