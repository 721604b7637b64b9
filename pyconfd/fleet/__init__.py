"""
The fleet: the nodes that share an etcd, what each publishes about itself, and their turns.

reconcile/turns.py and reconcile/rollout.py make the decisions. Nothing here may know how files are
made or services reloaded.
"""
