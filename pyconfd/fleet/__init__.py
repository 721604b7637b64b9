"""
The fleet: the nodes that share an etcd, what each publishes of itself, and their turns.

What is decided is in reconcile/turns.py and reconcile/rollout.py. Must not know how files are made
or services reloaded.
"""
