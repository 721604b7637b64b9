"""
Keeps members of services registered in the store, under leases.

State machines decide (health: is it healthy; lease_session: is the lease held; member: is the key
there), and the registrar carries out. Nothing here renders or reads templates. Read in this order:
declaration (what is announced), health, registrar, agent, api; then notify, for the states that a
daemon reports about itself.
"""
