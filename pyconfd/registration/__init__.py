"""
Announcing services under leases.

Rule of the room: the machines decide (health: is it well; session: is the lease held; member: is
the key there), the registrar carries out. Nothing here renders or reads templates. Read in this
order: service (what is announced), health, session, member, probes, registrar, api. Then, for
states that a daemon tells of itself: states, hooks, keeper.
"""
