"""
One pass: the resources of a service from a snapshot to live files, then one reload.

Read in this order: service_pass (what is due, reload, report), transaction (groups from a snapshot
to live files), context (what a pass works with). Beside them is what a pass compares with or
remembers (guard_state, drift, expansion, ownership, quarantine, set_aside), and what it does when
the service refuses (rollback, group_search). Decisions over time are made in reconcile/, not here.
"""
