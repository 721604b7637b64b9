"""
The registrar: it keeps members' keys in the store under leases.

Read in this order: lease_session and member (pure machines), registrar (the thread that carries
them out), store_client, health_monitor with probes and weight, schedule (timers), roster, pool.
"""
